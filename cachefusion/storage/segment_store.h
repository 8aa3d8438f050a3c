// The files that hold pages: segment-<id>-<part>, 1 GiB a part, pages in the order of their blocks.
// One object a process; it keeps files open. Writes come from one process at a time (the holder of
// the double-write latch); reads run beside them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/storage/file.h"
#include "cachefusion/page/page.h"

namespace pgquorum::fusion {

class SegmentStore {
 public:
  SegmentStore(FileSystem& fs, std::string directory, std::size_t max_open_files = 128)
      : fs_(fs), directory_(std::move(directory)), max_open_files_(max_open_files) {}

  // Into `page` (kPageBytes). A page behind the end of its file is empty. A damaged page is no
  // error here: the caller decides.
  Result<PageCheck> Read(PageId id, char* page);
  // `page` is sealed. Creates the file when it is missing.
  Status Write(PageId id, const char* page);
  // All writes of this object since the last call are durable, file names included.
  Status SyncWrites();
  // Removes the files of a segment, durably. No error when there are none.
  Status Remove(uint64_t segment);
  // Segments that have a file, in order.
  Result<std::vector<uint64_t>> List();
  // Blocks that the segment's files have room for.
  Result<uint32_t> Blocks(uint64_t segment);
  // Forgets open files: after another process has removed segments.
  void CloseFiles();

 private:
  using Key = std::pair<uint64_t, uint32_t>;

  // Null when the file does not exist.
  Result<File*> Open(uint64_t segment, uint32_t part);
  Result<File*> Create(uint64_t segment, uint32_t part);
  File* Keep(Key key, std::unique_ptr<File> file);
  std::string Path(uint64_t segment, uint32_t part) const;

  FileSystem& fs_;
  std::string directory_;
  std::size_t max_open_files_;
  std::map<Key, std::unique_ptr<File>> files_;
  std::set<Key> written_;  // never closed before they are synced
  bool created_ = false;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
