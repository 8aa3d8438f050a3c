// A page of a chain that holds one value which is too long for its row's page.
//
//   header | OverflowHeader | the value's next bytes
//
// The pages of a chain may lie anywhere in the table's segment. Each says by itself which chain it
// belongs to and who made it, so that what a crash or an abort leaves behind can be given back page
// by page (table/overflow_store.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cachefusion/page/page.h"
#include "cachefusion/page/page_change.h"

namespace pgquorum::fusion {

struct OverflowHeader {
  uint64_t creator;  // a word of tx/word.h
  uint64_t serial;   // of the chain: with `head` unique in the life of the segment
  uint32_t head;     // the chain's first block
  uint32_t next;     // 0: this is the last
  uint32_t total;    // bytes of the value
  uint32_t length;   // of them here; 0 on the head of a chain that is not finished yet
};
static_assert(sizeof(OverflowHeader) == 32);

inline constexpr std::size_t kOverflowHeaderBytes = sizeof(OverflowHeader);
inline constexpr std::size_t kOverflowDataOffset = kPageHeaderBytes + kOverflowHeaderBytes;
// Bytes of a value on one page.
inline constexpr std::size_t kOverflowBytes = kPageBytes - kOverflowDataOffset;

// Of a page of the kind kOverflow.
OverflowHeader OverflowOn(const char* page);
std::string_view OverflowData(const char* page);
// The page belongs to that chain.
bool IsOfChain(const char* page, uint32_t head, uint64_t serial);

// Makes it a page of a chain. `data` has header.length bytes.
void FormatOverflow(PageChange& change, const OverflowHeader& header, std::string_view data);
void SetOverflowNext(PageChange& change, uint32_t next);

// What is wrong with the page's inside; empty when nothing is.
std::string_view FindOverflowFault(const char* page);

}  // namespace pgquorum::fusion

#include "base/pure.h"
