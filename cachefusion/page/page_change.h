// Changing a page and saying so: every operation is applied to the page at once and appended to a
// delta, which is what the redo holds. Replaying the delta on the page as it was gives the page as
// it is, byte for byte, whatever the page's kind: recovery knows no kinds.
//
// Not part of a delta: checksum, version, psn, redo position and place; who appends the redo record
// sets them (storage/mutation.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cachefusion/page/page.h"

namespace pgquorum::fusion {

// The operations of a delta, as stored.
enum class PageOperation : uint8_t {
  kWrite = 1,   // u16 offset, u16 length, the bytes
  kMove = 2,    // u16 to, u16 from, u16 length; the ranges may overlap
  kZero = 3,    // u16 offset, u16 length
  kFormat = 4,  // u8 kind, u16 special bytes: an empty page
};

class PageChange {
 public:
  // `page` outlives this and is held exclusively.
  explicit PageChange(char* page) : page_(page) {}

  // Ranges lie behind the header's fixed part or are its free-space fields (see the checks).
  void Write(std::size_t offset, std::string_view bytes);
  template <typename T>
  void Put(std::size_t offset, const T& value) {
    Write(offset, std::string_view(reinterpret_cast<const char*>(&value), sizeof(T)));
  }
  void Move(std::size_t to, std::size_t from, std::size_t length);
  void Zero(std::size_t offset, std::size_t length);
  void Format(PageKind kind, std::size_t special_bytes = 0);

  void SetLower(std::size_t lower) { SetBound(offsetof(PageHeader, lower), lower); }
  void SetUpper(std::size_t upper) { SetBound(offsetof(PageHeader, upper), upper); }
  void SetFlags(uint16_t flags) { Put(offsetof(PageHeader, flags), flags); }

  const char* page() const { return page_; }
  const PageHeader& header() const { return HeaderOf(const_cast<const char*>(page_)); }
  const std::string& delta() const { return delta_; }

 private:
  void SetBound(std::size_t field, std::size_t value);

  char* page_;
  std::string delta_;
};

// Repeats a delta. kErrDamaged for bytes that no PageChange wrote; the page is then half changed.
Status ApplyDelta(char* page, std::string_view delta);

}  // namespace pgquorum::fusion

#include "base/pure.h"
