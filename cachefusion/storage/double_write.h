// Torn pages: a page is written twice, first into an area of its own, then to its place. The first
// write is durable before the second begins, so after a crash one of the two is whole.
//
// The holder of the double-write latch writes a batch at a time. Its first sector names the batch's
// pages by their checksums; images of earlier batches that still lie behind are never looked at.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/storage/file.h"
#include "cachefusion/storage/format.h"
#include "cachefusion/storage/segment_store.h"

namespace pgquorum::fusion {

struct PageImage {
  PageId id;
  char* page;  // sealed by WriteBatch
};

class DoubleWrite {
 public:
  DoubleWrite(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  // Makes the file. Once, when the instance's files are made.
  static Status Create(FileSystem& fs, const std::string& directory, InstanceId instance);

  // Durable in both places when it returns. 1 … kDoubleWritePages pages, none twice. After an error
  // nobody knows what is where: the storage is broken until it has been recovered.
  Status WriteBatch(SegmentStore& segments, const std::vector<PageImage>& pages);
  // Recovery, before anything is read: puts the last batch's images into places that are damaged.
  // Returns how many there were.
  Result<int> Repair(SegmentStore& segments);

 private:
  Result<File*> Open();

  FileSystem& fs_;
  std::string path_;
  std::unique_ptr<File> file_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
