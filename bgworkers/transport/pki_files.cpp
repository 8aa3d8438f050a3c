// The certificates as files of a state directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bgworkers/transport/pki.h"

namespace pgquorum::transport {

namespace {

constexpr std::size_t kMaxPemBytes = 64 << 10;

Status FileError(const std::string& what, const std::string& path, int error) {
  return Status::Error(error == ENOENT ? "58P01" : "58030",
                       "could not " + what + " file \"" + path + "\": " + std::strerror(error));
}

Result<std::string> ReadPem(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return FileError("open", path, errno);
  }
  std::string text(kMaxPemBytes + 1, '\0');
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < text.size()) {
    got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  int error = got < 0 ? errno : 0;
  close(fd);
  if (error != 0) {
    return FileError("read", path, error);
  }
  if (size > kMaxPemBytes) {
    return Status::Error("58030", "file \"" + path + "\" is too long for a certificate or key");
  }
  text.resize(size);
  return text;
}

// The same error, but it names the directory whose files it is about.
Status InDirectory(const Status& error, const std::string& directory) {
  return Status::Error(error.sqlstate(), error.message())
      .WithDetail("The certificates are in \"" + directory + "\"." +
                  (error.detail().empty() ? "" : " " + error.detail()))
      .WithHint(error.hint());
}

Status WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno != EINTR) {
      return Status::Error("58030", std::strerror(errno));
    }
    content.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
  }
  return fsync(fd) == 0 ? Status::Ok() : Status::Error("58030", std::strerror(errno));
}

Status SyncDirectoryOf(const std::string& path) {
  std::size_t slash = path.rfind('/');
  std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return FileError("open", directory, errno);
  }
  int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error == 0 ? Status::Ok() : FileError("sync", directory, error);
}

Status MakePkiDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return FileError("create", directory, errno);
  }
  return SyncDirectoryOf(directory);
}

struct NamedPem {
  const char* name;
  const std::string& content;
};

Status WriteAllPem(const std::string& directory, std::initializer_list<NamedPem> files) {
  Status status = MakePkiDirectory(directory);
  for (const NamedPem& file : files) {
    if (status.ok()) {
      status = WritePemFile(directory + "/" + file.name, file.content);
    }
  }
  return status;
}

}  // namespace

Status WritePemFile(const std::string& path, const std::string& content) {
  std::string temporary = path + ".tmp";
  // A left-over may have other permissions: never reuse it.
  unlink(temporary.c_str());
  int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return FileError("create", temporary, errno);
  }
  Status written = WriteAll(fd, content);
  close(fd);
  if (!written.ok()) {
    unlink(temporary.c_str());
    return Status::Error("58030",
                         "could not write file \"" + temporary + "\": " + written.message());
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return FileError("rename", temporary, errno);
  }
  return SyncDirectoryOf(path);
}

Result<TlsIdentity> LoadIdentity(const std::string& directory, const std::string& node_name) {
  Result<std::string> ca = ReadPem(directory + "/" + kCaCertificateFile);
  Result<std::string> certificate = ReadPem(directory + "/" + kNodeCertificateFile);
  Result<std::string> key = ReadPem(directory + "/" + kNodeKeyFile);
  for (const Result<std::string>* file : {&ca, &certificate, &key}) {
    if (!file->ok()) {
      return file->status();
    }
  }
  Result<CertificateInfo> info = Inspect(certificate.value());
  if (!info.ok()) {
    return InDirectory(info.status(), directory);
  }
  TlsIdentity identity{ca.value(), certificate.value(), key.value(), info.value()};
  Status good = VerifyIdentity(identity, node_name);
  if (!good.ok()) {
    return InDirectory(good, directory);
  }
  return identity;
}

Status CreateClusterPki(const std::string& directory, const std::string& cluster_name,
                        uint64_t cluster_id, const std::string& node_name) {
  Result<Authority> authority = CreateAuthority(cluster_name);
  if (!authority.ok()) {
    return authority.status();
  }
  Result<NodeKey> key = CreateNodeKey(node_name);
  if (!key.ok()) {
    return key.status();
  }
  Result<std::string> certificate =
      SignNode(authority.value(), key.value().certificate_signing_request, node_name, cluster_id);
  if (!certificate.ok()) {
    return certificate.status();
  }
  return WriteAllPem(directory, {{kCaCertificateFile, authority.value().certificate},
                                 {kCaKeyFile, authority.value().key},
                                 {kNodeCertificateFile, certificate.value()},
                                 {kNodeKeyFile, key.value().key}});
}

Status WriteJoinedPki(const std::string& directory, const NodeKey& key,
                      const JoinResponse& response) {
  Result<CertificateInfo> info = Inspect(response.node_certificate);
  if (!info.ok()) {
    return info.status();
  }
  // Before a file is replaced: what the cluster gave must fit what this node has.
  TlsIdentity identity{response.ca_certificate, response.node_certificate, key.key, info.value()};
  Status good = VerifyIdentity(identity, "");
  if (!good.ok()) {
    return good;
  }
  Status written = WriteAllPem(directory, {{kCaCertificateFile, response.ca_certificate},
                                           {kNodeCertificateFile, response.node_certificate},
                                           {kNodeKeyFile, key.key}});
  // A witness gets none.
  if (!written.ok() || response.ca_key.empty()) {
    return written;
  }
  return WriteAllPem(directory, {{kCaKeyFile, response.ca_key}});
}

Result<SignedNode> SignJoiner(const std::string& directory, const JoinRequest& request,
                              uint64_t cluster_id) {
  Result<std::string> certificate = ReadPem(directory + "/" + kCaCertificateFile);
  Result<std::string> key = ReadPem(directory + "/" + kCaKeyFile);
  if (!certificate.ok() || !key.ok()) {
    return certificate.ok() ? key.status() : certificate.status();
  }
  Authority authority{certificate.value(), key.value()};
  Result<std::string> node_certificate =
      SignNode(authority, request.certificate_signing_request, request.node_name, cluster_id);
  if (!node_certificate.ok()) {
    return InDirectory(node_certificate.status(), directory);
  }
  return SignedNode{authority.certificate, authority.key, node_certificate.value()};
}

}  // namespace pgquorum::transport
