// A page in private memory, aligned like one in the cache.
#pragma once

#include <memory>

#include "cachefusion/page/page.h"

namespace pgquorum::fusion {

class PageCopy {
 public:
  PageCopy() : bytes_(std::make_unique_for_overwrite<Bytes>()) {}
  char* data() { return bytes_->at; }
  const char* data() const { return bytes_->at; }

 private:
  struct alignas(8) Bytes {
    char at[kPageBytes];
  };
  std::unique_ptr<Bytes> bytes_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
