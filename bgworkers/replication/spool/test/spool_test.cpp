#include <algorithm>

#include "base/random.h"
#include "bgworkers/replication/spool/test/spool_fixture.h"

namespace pgquorum::replication {
namespace {

constexpr SiteId kPeer{2};
constexpr SiteId kThird{3};

std::unique_ptr<Spool> MustOpen(FileSystem& fs, const Applied& applied = {}) {
  Result<std::unique_ptr<Spool>> opened = OpenSpool(fs, applied);
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  return opened.ok() ? std::move(opened).value() : nullptr;
}

std::size_t Segments(MemoryFileSystem& fs) {
  std::vector<std::string> names = fs.List(kDir).value();
  return static_cast<std::size_t>(std::count_if(names.begin(), names.end(), [](const auto& name) {
    return ParseSpoolSegmentName(name).has_value();
  }));
}

TEST(Spool, KeepsEveryOriginsTransactionsOverARestart) {
  MemoryFileSystem fs;
  {
    std::unique_ptr<Spool> spool = MustOpen(fs);
    Fill(*spool, kOwn, 1, 1500);
    Fill(*spool, kOther, 1, 10);
    ASSERT_TRUE(spool->MarkApplied(kOther, 7).ok());
    EXPECT_EQ(CheckAll(*spool, kOwn, 1), 1500U);
  }
  std::unique_ptr<Spool> spool = MustOpen(fs, {{kOther, 7}});
  EXPECT_EQ(spool->index().Of(kOwn), (Watermarks{1500, 1500, 1500}));
  EXPECT_EQ(spool->index().Of(kOther), (Watermarks{10, 10, 7}));
  EXPECT_EQ(CheckAll(*spool, kOwn, 1), 1500U);
  EXPECT_EQ(CheckAll(*spool, kOwn, 777), 724U);
  EXPECT_EQ(CheckAll(*spool, kOther, 8), 3U);
  Fill(*spool, kOther, 11, 12);
  EXPECT_EQ(CheckAll(*spool, kOther, 1), 12U);
}

TEST(Spool, NothingIsDurableBeforeTheSync) {
  MemoryFileSystem fs;
  std::unique_ptr<Spool> spool = MustOpen(fs);
  ASSERT_TRUE(spool->Append(kOther, 1, Hlc(1), "one").ok());
  EXPECT_EQ(spool->index().Of(kOther), (Watermarks{1, 0, 0}));
  EXPECT_EQ(spool->MarkApplied(kOther, 1).sqlstate(), kErrBadAcknowledgement);
  ASSERT_TRUE(spool->Sync().ok());
  EXPECT_EQ(spool->index().Of(kOther), (Watermarks{1, 1, 0}));
}

TEST(Spool, OneSyncForABatch) {
  MemoryFileSystem fs;
  std::unique_ptr<Spool> spool = MustOpen(fs);
  Fill(*spool, kOwn, 1, 1);
  uint64_t before = spool->syncs();
  Fill(*spool, kOwn, 2, 101);
  EXPECT_EQ(spool->syncs(), before + 1);
  ASSERT_TRUE(spool->Sync().ok());
  EXPECT_EQ(spool->syncs(), before + 1) << "nothing new";
}

TEST(Spool, RefusesWhatIsOutOfSequenceOrTooLarge) {
  MemoryFileSystem fs;
  std::unique_ptr<Spool> spool = MustOpen(fs);
  EXPECT_EQ(spool->Append(kOther, 2, Hlc(1), "x").value(), SpoolIndex::Appended::kGap);
  Fill(*spool, kOther, 1, 1);
  EXPECT_EQ(spool->Append(kOther, 1, Hlc(1), "x").value(), SpoolIndex::Appended::kDuplicate);
  std::string whole(300'000, 'x');
  SpoolIndex::Appended appended = SpoolIndex::Appended::kYes;
  for (uint64_t i = 2; i < 10 && appended == SpoolIndex::Appended::kYes; ++i) {
    appended = spool->Append(kOther, i, Hlc(1), whole).value();
  }
  EXPECT_EQ(appended, SpoolIndex::Appended::kFull);
}

TEST(Spool, ReadsInBoundedBatches) {
  MemoryFileSystem fs;
  std::unique_ptr<Spool> spool = MustOpen(fs);
  Fill(*spool, kOwn, 1, 20, 1000);
  SpoolReader reader = spool->Read(kOwn, 1);
  EXPECT_EQ(reader.Read(20, 3500).value().size(), 3U);
  EXPECT_EQ(reader.Read(20, 1).value().size(), 1U) << "at least one";
  EXPECT_EQ(reader.Read(6, 1'000'000).value().size(), 2U) << "nothing behind the watermark";
  EXPECT_TRUE(reader.Read(6, 1'000'000).value().empty());
  EXPECT_EQ(reader.next(), 7U);
  reader.Seek(2);
  EXPECT_EQ(reader.Read(20, 1).value()[0].sequence, 2U);
}

TEST(Spool, AReaderFollowsTheWriter) {
  MemoryFileSystem fs;
  std::unique_ptr<Spool> spool = MustOpen(fs);
  SpoolReader reader = spool->Read(kOwn, 1);
  uint64_t seen = 0;
  for (uint64_t i = 1; i <= 3000; i += 7) {
    Fill(*spool, kOwn, i, i + 6);
    ASSERT_TRUE(spool->Prove().ok());
    Result<std::vector<SpooledTransaction>> read = reader.Read(i + 6, 1 << 20);
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    for (const SpooledTransaction& transaction : read.value()) {
      ASSERT_EQ(transaction.sequence, ++seen);
      ASSERT_EQ(transaction.bytes, Payload(kOwn, seen));
    }
  }
  EXPECT_EQ(seen, 3003U);
  EXPECT_GT(Segments(fs), 5U);
}

TEST(Spool, TrimsWhatNobodyNeedsAndRemembersHowFarItCame) {
  MemoryFileSystem fs;
  {
    std::unique_ptr<Spool> spool = MustOpen(fs);
    spool->AddPeer(kPeer);
    spool->AddPeer(kThird);
    Fill(*spool, kOwn, 1, 3000);
    std::size_t all = Segments(fs);
    ASSERT_TRUE(spool->Acknowledge(kPeer, kOwn, {3000, 3000, 0}).ok());
    ASSERT_TRUE(spool->Trim().ok());
    EXPECT_EQ(Segments(fs), all) << "the third site has nothing yet";
    ASSERT_TRUE(spool->Acknowledge(kThird, kOwn, {3000, 1500, 0}).ok());
    ASSERT_TRUE(spool->Trim().ok());
    EXPECT_LT(Segments(fs), all);
    EXPECT_FALSE(spool->index().CanServe(kOwn, 1));
    EXPECT_EQ(spool->Read(kOwn, 1).Read(3000, 1).status().sqlstate(), kErrSequenceGap);
    EXPECT_EQ(CheckAll(*spool, kOwn, 1501), 1500U);
    ASSERT_TRUE(spool->Acknowledge(kThird, kOwn, {3000, 3000, 0}).ok());
    ASSERT_TRUE(spool->Trim().ok());
    EXPECT_EQ(spool->index().bytes(), 0U);
    EXPECT_EQ(Segments(fs), 1U) << "an empty one";
  }
  for (int restart = 0; restart < 3; ++restart) {
    std::unique_ptr<Spool> spool = MustOpen(fs);
    EXPECT_EQ(spool->index().Of(kOwn), (Watermarks{3000, 3000, 3000}));
    EXPECT_EQ(Segments(fs), 1U);
  }
  std::unique_ptr<Spool> spool = MustOpen(fs);
  Fill(*spool, kOwn, 3001, 3010);
  EXPECT_EQ(CheckAll(*spool, kOwn, 3001), 10U);
}

TEST(Spool, AParkedPeerHoldsNothing) {
  MemoryFileSystem fs;
  std::unique_ptr<Spool> spool = MustOpen(fs);
  spool->AddPeer(kPeer);
  Fill(*spool, kOwn, 1, 3000);
  EXPECT_GT(spool->index().HeldBackBy(kPeer), 0U);
  spool->Park(kPeer);
  ASSERT_TRUE(spool->Trim().ok());
  EXPECT_EQ(spool->index().bytes(), 0U);
}

TEST(Spool, StartsWhereACopyOfTheDataEnds) {
  MemoryFileSystem fs;
  {
    std::unique_ptr<Spool> spool = MustOpen(fs, {{kOther, 500}});
    EXPECT_EQ(spool->index().Of(kOther), (Watermarks{500, 500, 500}));
    Fill(*spool, kOther, 501, 600);
    ASSERT_TRUE(spool->StartAt(kOther, 1000).ok());
    EXPECT_EQ(spool->Append(kOther, 601, Hlc(1), "x").value(), SpoolIndex::Appended::kDuplicate);
    Fill(*spool, kOther, 1001, 1002);
  }
  {
    std::unique_ptr<Spool> spool = MustOpen(fs, {{kOther, 1000}});
    EXPECT_EQ(CheckAll(*spool, kOther, 1001), 2U);
  }
  // A later copy, of which the spool was not told.
  std::unique_ptr<Spool> spool = MustOpen(fs, {{kOther, 2000}});
  EXPECT_TRUE(spool->damage().empty());
  EXPECT_EQ(spool->index().Of(kOther), (Watermarks{2000, 2000, 2000}));
  EXPECT_FALSE(spool->index().CanServe(kOther, 1001));
  Fill(*spool, kOther, 2001, 2001);
  EXPECT_EQ(CheckAll(*spool, kOther, 2001), 1U);
}

TEST(Spool, TablesThatWereRestoredAreNoticed) {
  MemoryFileSystem fs;
  {
    std::unique_ptr<Spool> spool = MustOpen(fs);
    Fill(*spool, kOther, 1, 3000);
    ASSERT_TRUE(spool->MarkApplied(kOther, 3000).ok());
    ASSERT_TRUE(spool->Trim().ok());
  }
  EXPECT_EQ(OpenSpool(fs, {{kOther, 900}}).status().sqlstate(), kErrSequenceGap);
  EXPECT_TRUE(OpenSpool(fs, {{kOther, 3000}}).ok());
}

TEST(Spool, BelongsToOneProcessGroupAndSite) {
  MemoryFileSystem fs;
  {
    std::unique_ptr<Spool> spool = MustOpen(fs);
    EXPECT_EQ(OpenSpool(fs).status().sqlstate(), kErrInUse);
    Fill(*spool, kOwn, 1, 1);
  }
  EXPECT_EQ(OpenSpool(fs, {}, {SiteId(9), 1}).status().sqlstate(), kErrForeignSpool);
  EXPECT_EQ(Spool::Open(fs, kDir, kGroup + 1, kOwn, SmallSegments(), {}).status().sqlstate(),
            kErrForeignSpool);
  // The next incarnation of the site has the same spool, and applies what the one before wrote.
  EXPECT_TRUE(OpenSpool(fs, {{kOwn, 1}}, {SiteId(1), 2}).ok());
  SpoolOptions options = SmallSegments();
  options.max_bytes = options.segment_bytes;
  EXPECT_EQ(Spool::Open(fs, kDir, kGroup, kOwn, options, {}).status().sqlstate(), kErrInvalidValue);
}

TEST(Spool, AFailedDiskIsFinal) {
  for (MemoryFault fault :
       {MemoryFault::kIoError, MemoryFault::kNoSpace, MemoryFault::kShortWrite}) {
    for (uint64_t in = 1; in <= 8; ++in) {
      SCOPED_TRACE(in);
      MemoryFileSystem fs;
      std::unique_ptr<Spool> spool = MustOpen(fs);
      Fill(*spool, kOther, 1, 5);
      fs.FailAt(fs.operations() + in, fault);
      Status failed;
      uint64_t durable = 5;
      for (uint64_t i = 6; i < 20 && failed.ok(); ++i) {
        Result<SpoolIndex::Appended> appended =
            spool->Append(kOther, i, Hlc(i), Payload(kOther, i));
        failed = appended.ok() ? spool->Sync() : appended.status();
        durable = failed.ok() ? i : durable;
      }
      ASSERT_FALSE(failed.ok());
      EXPECT_EQ(failed.sqlstate() == kErrIo || failed.sqlstate() == kErrDiskFull, true);
      EXPECT_EQ(spool->index().Of(kOther).durable, durable);
      uint64_t operations = fs.operations();
      EXPECT_EQ(spool->Sync().ToString(), failed.ToString());
      EXPECT_FALSE(spool->Append(kOther, 20, Hlc(20), "x").ok());
      EXPECT_FALSE(spool->Prove().ok());
      EXPECT_FALSE(spool->Trim().ok());
      EXPECT_EQ(fs.operations(), operations) << "nothing is retried";
      spool.reset();
      // A failed sync leaves pages that can be read and are not on the disk.
      spool = MustOpen(fs);
      ASSERT_TRUE(spool);
      uint64_t kept = spool->index().Of(kOther).durable;
      EXPECT_GE(kept, durable);
      spool.reset();
      Random random(in);
      fs.PowerCycle(random, MemoryLoss::kAll);
      spool = MustOpen(fs);
      EXPECT_EQ(spool->index().Of(kOther).durable, kept) << "what was once called durable is";
      EXPECT_EQ(CheckAll(*spool, kOther, 1), kept);
    }
  }
}

// Any bit of anything but the last batch: found, what lies in front is kept, the rest put aside.
TEST(Spool, DamageIsToldFromATornTail) {
  MemoryFileSystem fs;
  uint64_t bits = 0;
  std::string name = JoinPath(kDir, SpoolSegmentName({kOther, 1}));
  {
    std::unique_ptr<Spool> spool = MustOpen(fs);
    Fill(*spool, kOther, 1, 4);
    bits = fs.Content(name).size() * 8;
    Fill(*spool, kOther, 5, 5);
  }
  for (uint64_t bit = 0; bit < bits; bit += 3) {
    SCOPED_TRACE(bit);
    MemoryFileSystem copy;
    ASSERT_TRUE(copy.MakeDirectory(kDir).ok());
    {
      Result<std::unique_ptr<File>> file = copy.Open(name, OpenMode::kCreate);
      ASSERT_TRUE(file.ok() && file.value()->Write(0, fs.Content(name)).ok());
    }
    copy.FlipBit(name, bit);
    std::unique_ptr<Spool> spool = MustOpen(copy);
    bool padding = bit / 8 >= kSpoolHeaderBytes && (bit / 8 - kSpoolHeaderBytes) % 136 >= 132;
    ASSERT_EQ(spool->damage().size(), padding ? 0U : 1U);
    if (padding) {
      continue;
    }
    uint64_t first_lost = spool->damage()[0].first_lost;
    EXPECT_EQ(first_lost, bit / 8 < kSpoolHeaderBytes ? 1 : (bit / 8 - 64) / 136 + 1);
    EXPECT_EQ(CheckAll(*spool, kOther, 1), first_lost - 1);
    // It goes on from there.
    Fill(*spool, kOther, first_lost, first_lost + 10);
    spool.reset();
    spool = MustOpen(copy);
    EXPECT_TRUE(spool->damage().empty()) << spool->damage()[0].what;
    EXPECT_EQ(CheckAll(*spool, kOther, 1), first_lost + 10);
  }
}

TEST(Spool, AProofGuardsTheLastBatch) {
  for (bool proven : {false, true}) {
    MemoryFileSystem fs;
    std::string name = JoinPath(kDir, SpoolSegmentName({kOther, 1}));
    {
      std::unique_ptr<Spool> spool = MustOpen(fs);
      Fill(*spool, kOther, 1, 1);
      if (proven) {
        uint64_t before = fs.operations();
        ASSERT_TRUE(spool->Prove().ok());
        ASSERT_TRUE(spool->Prove().ok());
        EXPECT_EQ(fs.operations(), before + 1);
      }
    }
    fs.FlipBit(name, (kSpoolHeaderBytes + 40) * 8);
    std::unique_ptr<Spool> spool = MustOpen(fs);
    EXPECT_EQ(spool->damage().size(), proven ? 1U : 0U);
    EXPECT_EQ(spool->index().Of(kOther).durable, 0U);
  }
}

TEST(Spool, AMissingSegmentIsDamage) {
  MemoryFileSystem fs;
  {
    std::unique_ptr<Spool> spool = MustOpen(fs);
    Fill(*spool, kOther, 1, 3000);
  }
  std::vector<std::string> names = fs.List(kDir).value();
  std::erase_if(names, [](const auto& name) { return !ParseSpoolSegmentName(name); });
  ASSERT_GE(names.size(), 3U);
  ASSERT_TRUE(fs.Remove(JoinPath(kDir, names[1])).ok());
  uint64_t lost = ParseSpoolSegmentName(names[1])->first;
  std::unique_ptr<Spool> spool = MustOpen(fs);
  ASSERT_EQ(spool->damage().size(), 1U);
  EXPECT_EQ(spool->damage()[0].first_lost, lost);
  EXPECT_EQ(CheckAll(*spool, kOther, 1), lost - 1);
  names = fs.List(kDir).value();
  EXPECT_TRUE(std::any_of(names.begin(), names.end(),
                          [](const auto& name) { return name.ends_with(".damaged"); }));
}

}  // namespace
}  // namespace pgquorum::replication
