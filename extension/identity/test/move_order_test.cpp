#include "extension/identity/move_order.h"

#include <gtest/gtest.h>

namespace pgquorum::identity {
namespace {

TEST(MoveOrder, IsReadAsItWasWritten) {
  for (MoveOrder::Phase phase : {MoveOrder::Phase::kCopying, MoveOrder::Phase::kCopied}) {
    const MoveOrder order{7, 2, "/old place", "/new", phase, 4711};
    Result<MoveOrder> read = MoveOrder::Parse(order.Format());
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read.value(), order);
  }
}

TEST(MoveOrder, WhatContradictsItselfIsRefused) {
  EXPECT_FALSE(MoveOrder::Parse(MoveOrder{7, 2, "/a", "/a"}.Format()).ok());
  std::string text = MoveOrder{7, 2, "/a", "/b"}.Format();
  text[text.size() / 2] ^= 1;
  EXPECT_FALSE(MoveOrder::Parse(text).ok());
}

}  // namespace
}  // namespace pgquorum::identity
