#include "cachefusion/grd/local_gate.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <new>

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

TEST(LocalGate, ZeroedMemoryIsAStoppedGate) {
  alignas(LocalGate) unsigned char memory[sizeof(LocalGate)] = {};
  auto* gate = std::launder(reinterpret_cast<LocalGate*>(memory));
  EXPECT_EQ(gate->state(), GateState::kStopped);
  EXPECT_EQ(gate->Ask(BlockMode::kShared).answer, GateAnswer::kStopped);
  EXPECT_EQ(gate->Counters().refused, 1U);
  EXPECT_EQ(gate->Counters().resident(), 0U);
}

TEST(LocalGate, SoleMemberIsGrantedExclusiveAndCounted) {
  LocalGate gate;
  gate.OpenSole(Epoch(7));
  GateGrant grant = gate.Ask(BlockMode::kShared);
  EXPECT_EQ(grant.answer, GateAnswer::kGranted);
  EXPECT_EQ(grant.mode, BlockMode::kExclusive);
  EXPECT_EQ(grant.epoch, Epoch(7));
  gate.Ask(BlockMode::kExclusive);
  EXPECT_EQ(gate.Counters().shared, 1U);
  EXPECT_EQ(gate.Counters().exclusive, 1U);
  EXPECT_EQ(gate.Counters().resident(), 2U);
  gate.Returned();
  EXPECT_EQ(gate.Counters().resident(), 1U);
}

TEST(LocalGate, NothingIsGrantedWhileStopped) {
  LocalGate gate;
  gate.OpenSole(Epoch(1));
  gate.Stop();
  EXPECT_EQ(gate.epoch(), Epoch(1));
  EXPECT_EQ(gate.Ask(BlockMode::kExclusive).answer, GateAnswer::kStopped);
  EXPECT_EQ(gate.Counters().resident(), 0U);
  gate.OpenSole(Epoch(2));
  EXPECT_EQ(gate.Ask(BlockMode::kExclusive).answer, GateAnswer::kGranted);
}

TEST(LocalGate, ConnectedMeansAskTheService) {
  LocalGate gate;
  gate.OpenConnected(Epoch(3));
  GateGrant grant = gate.Ask(BlockMode::kShared);
  EXPECT_EQ(grant.answer, GateAnswer::kAsk);
  EXPECT_EQ(grant.epoch, Epoch(3));
  EXPECT_EQ(gate.Counters().passed_on, 1U);
  EXPECT_EQ(gate.Counters().resident(), 0U);
}

TEST(LocalGateDeathTest, AnEpochIsNeverOpenedTwice) {
  LocalGate gate;
  gate.OpenSole(Epoch(3));
  EXPECT_DEATH(gate.OpenSole(Epoch(3)), "CHECK|epoch");
}

}  // namespace
}  // namespace pgquorum::fusion
