#include "cachefusion/storage/double_write.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {

Status DoubleWrite::Create(FileSystem& fs, const std::string& directory, InstanceId instance) {
  std::string path = JoinPath(directory, DoubleWriteName(instance));
  Status made = CreateZeroFilled(fs, path, kDoubleWriteFirstPage + kDoubleWritePages * kPageBytes);
  return made.ok() ? fs.SyncDirectory(directory) : made;
}

Result<File*> DoubleWrite::Open() {
  if (file_ == nullptr) {
    Result<std::unique_ptr<File>> file = fs_.Open(path_, OpenMode::kReadWrite);
    if (!file.ok()) {
      return file.status();
    }
    file_ = std::move(file).value();
  }
  return file_.get();
}

Status DoubleWrite::WriteBatch(SegmentStore& segments, const std::vector<PageImage>& pages) {
  PGQUORUM_CHECK(!pages.empty() && pages.size() <= kDoubleWritePages);
  Result<File*> file = Open();
  if (!file.ok()) {
    return file.status();
  }
  ByteWriter list;
  list.U32(static_cast<uint32_t>(pages.size()));
  std::string images;
  images.reserve(pages.size() * kPageBytes);
  for (const PageImage& image : pages) {
    SealPage(image.page);
    list.U32(HeaderOf(image.page).crc);
    images.append(image.page, kPageBytes);
  }
  Status status = file.value()->Write(0, EncodeSector(SectorKind::kDoubleWrite, list.data()));
  if (status.ok()) {
    status = file.value()->Write(kDoubleWriteFirstPage, images);
  }
  if (status.ok()) {
    status = file.value()->Sync();
  }
  for (const PageImage& image : pages) {
    if (status.ok()) {
      status = segments.Write(image.id, image.page);
    }
  }
  return status.ok() ? segments.SyncWrites() : status;
}

Result<int> DoubleWrite::Repair(SegmentStore& segments) {
  Result<File*> file = Open();
  if (!file.ok()) {
    return file.status();
  }
  std::string bytes(kDoubleWriteFirstPage + kDoubleWritePages * kPageBytes, '\0');
  Result<std::size_t> got = file.value()->Read(0, bytes.data(), bytes.size());
  if (!got.ok()) {
    return got.status();
  }
  Result<std::string> list =
      DecodeSector(SectorKind::kDoubleWrite, std::string_view(bytes).substr(0, kSectorBytes));
  if (!list.ok()) {
    // Never written, or torn in a batch whose second writes had not begun.
    return list.status().sqlstate() == kErrDamaged ? Result<int>(0) : list.status();
  }
  ByteReader in(list.value());
  std::size_t count = in.Count(kDoubleWritePages, sizeof(uint32_t));
  int repaired = 0;
  for (std::size_t i = 0; i < count; ++i) {
    char* image = bytes.data() + kDoubleWriteFirstPage + i * kPageBytes;
    const PageHeader& header = HeaderOf(image);
    PageId id{header.segment, header.block};
    if (in.U32() != header.crc || CheckPage(image, id) != PageCheck::kValid) {
      continue;  // the batch's first write was not complete, so its second had not begun
    }
    char place[kPageBytes];
    Result<PageCheck> check = segments.Read(id, place);
    if (!check.ok()) {
      return check.status();
    }
    if (check.value() == PageCheck::kDamaged) {
      Status written = segments.Write(id, image);
      if (!written.ok()) {
        return written;
      }
      ++repaired;
    }
  }
  Status synced = segments.SyncWrites();
  return synced.ok() ? Result<int>(repaired) : synced;
}

}  // namespace pgquorum::fusion
