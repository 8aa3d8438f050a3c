// Sites that leave, are lost, and join: the agreed log and what it makes the sites do.
#include <algorithm>

#include "base/check.h"
#include "bgworkers/replication/core/sim/world.h"

#include "base/pure.h"

namespace pgquorum::replication::sim {

void World::ApplyEntries(Site& site) {
  while (site.up && site.entries < log_.size()) {
    const Entry entry = log_[site.entries];
    Carry(site, entry);
    if (site.up) {
      ++site.entries;
    }
  }
}

void World::Carry(Site& site, const Entry& entry) {
  switch (entry.kind) {
    case Entry::Kind::kAdd:
      site.members.insert(entry.origin);
      if (entry.origin != site.origin) {
        site.index_of_spool->AddPeer(entry.origin.site);  // holds everything from here on
      }
      return;
    case Entry::Kind::kEvict:
      if (entry.origin == site.origin) {
        Trace(site, "learns that it was evicted");
        Crash(site);
        site.gone = true;
        return;
      }
      // What it has on disk is final from here on: it no longer listens.
      Sync(site);
      if (!site.up) {
        return;
      }
      site.members.erase(entry.origin);
      site.fenced.insert(entry.origin);
      site.levels[entry.origin] = {0, SiteId()};
      site.index_of_spool->RemovePeer(entry.origin.site);
      evict_reports_[site.origin.site] = site.index_of_spool->Of(entry.origin).durable;
      Trace(site, "no longer hears " + entry.origin.ToString() + ", has " +
                      std::to_string(evict_reports_[site.origin.site]));
      return;
    case Entry::Kind::kLevel:
      site.levels[entry.origin] = {entry.target, entry.source};
      return;
    case Entry::Kind::kClosed:
      site.levels.erase(entry.origin);
      site.database->AppendFold(entry.origin);
      return;
  }
}

// What the leader of the membership does with the sites' reports.
void World::Coordinate() {
  if (joining_) {
    const Site& joiner = sites_[*joining_];
    bool held = std::all_of(sites_.begin(), sites_.end(), [&](const Site& site) {
      return &site == &joiner || site.gone || site.entries == log_.size();
    });
    if (held || bugs_.copy_before_hold) {
      FinishJoin();
    }
  }
  if (!evicting_) {
    return;
  }
  std::vector<const Site*> survivors;
  for (const Site& site : sites_) {
    if (!site.gone && site.origin != *evicting_) {
      survivors.push_back(&site);
    }
  }
  if (!level_logged_) {
    bool all = std::all_of(survivors.begin(), survivors.end(), [&](const Site* site) {
      return evict_reports_.contains(site->origin.site);
    });
    if (all) {
      LevelUp plan = PlanLevelUp(evict_reports_);
      coverage_.Hit(Point::kLevelledUp, plan.behind.empty() ? 0 : 1);
      log_.push_back({Entry::Kind::kLevel, *evicting_, plan.target, plan.source});
      closed_at_[*evicting_] = plan.target;
      level_logged_ = true;
    }
    return;
  }
  uint64_t target = closed_at_[*evicting_];
  bool level = std::all_of(survivors.begin(), survivors.end(), [&](const Site* site) {
    auto window = site->applied.find(*evicting_);
    return target == 0 || (window != site->applied.end() && window->second.watermark() >= target);
  });
  if (level || bugs_.close_before_level) {
    log_.push_back({Entry::Kind::kClosed, *evicting_, target, SiteId()});
    coverage_.Hit(Point::kClosed);
    evicting_.reset();
    level_logged_ = false;
    evict_reports_.clear();
  }
}

void World::LoseSite() {
  std::size_t there = 0;
  for (const Site& site : sites_) {
    there += site.gone ? 0 : 1;
  }
  Site& site = sites_[random_.Below(sites_.size())];
  if (evicting_ || joining_ || there < 3 || site.gone) {
    return;
  }
  evicting_ = site.origin;
  log_.push_back({Entry::Kind::kEvict, site.origin, 0, SiteId()});
  coverage_.Hit(Point::kEvicted);
  Trace(site, "is evicted");
  if (random_.Chance(1, 2)) {
    Crash(site);
    site.gone = true;
  }
}

void World::JoinSite() {
  if (evicting_ || joining_ || joins_ >= 4) {
    return;
  }
  std::size_t index = 0;
  while (index < sites_.size() && !sites_[index].gone) {
    ++index;
  }
  if (index == sites_.size() && (sites_.size() >= 5 || random_.Chance(1, 2))) {
    return;
  }
  if (index == sites_.size()) {
    Site fresh;
    fresh.index = index;
    fresh.origin = {SiteId(static_cast<uint16_t>(index + 1)), 0};
    fresh.gone = true;
    sites_.push_back(std::move(fresh));
    coverage_.Hit(Point::kJoined);
  } else {
    coverage_.Hit(Point::kRejoined);
  }
  Site& site = sites_[index];
  if (!bugs_.incarnation_kept || site.origin.incarnation == 0) {
    ++site.origin.incarnation;
  }
  ++joins_;
  joining_ = index;
  log_.push_back({Entry::Kind::kAdd, site.origin, 0, SiteId()});
  Trace(site, "asks to join");
}

void World::FinishJoin() {
  Site& joiner = sites_[*joining_];
  for (Site& source : sites_) {
    if (source.up && !source.gone && source.index != joiner.index) {
      CopyFrom(source, joiner);
      joining_.reset();
      return;
    }
  }
}

void World::CopyFrom(const Site& source, Site& joiner) {
  Trace(joiner, "is copied from " + source.origin.ToString());
  joiner.database = source.database;
  joiner.applied = source.applied;
  // To the joiner the source is an origin like any other, and it has all of it.
  joiner.applied[source.origin].StartAt(source.sequence);
  joiner.disk = source.disk;
  joiner.entries = source.entries;
  joiner.members = source.members;
  joiner.fenced = source.fenced;
  joiner.levels = source.levels;
  // Its readings must be above all that the data has.
  joiner.durable_bound = source.durable_bound;
  joiner.sequence = joiner.applied[joiner.origin].watermark();
  joiner.dot_sequence = joiner.sequence;
  joiner.old_applied.clear();
  joiner.disk.erase(joiner.origin);
  joiner.skew_us = 0;
  joiner.gone = false;
  applied_once_[joiner.index].clear();
  Restart(joiner);
}

// Everything up to here has been applied by this site, and by every member.
void World::UpdateStable(Site& site) {
  Hlc report = site.clock->last();
  std::set<Origin> origins = site.members;
  for (const auto& [origin, level] : site.levels) {
    origins.insert(origin);
  }
  for (Origin origin : origins) {
    if (origin == site.origin) {
      continue;
    }
    auto promise = site.promises.find(origin);
    if (promise != site.promises.end() &&
        site.applied[origin].watermark() >= promise->second.second) {
      site.complete[origin] = std::max(site.complete[origin], promise->second.first);
    }
    report = std::min(report, site.complete[origin]);
  }
  site.reports[site.origin] = std::max(site.reports[site.origin], report);
  Hlc stable = site.reports[site.origin];
  for (Origin member : site.members) {
    if (!bugs_.stable_without_members) {
      stable = std::min(stable, site.reports[member]);
    }
  }
  Hlc promised = site.clock->last();
  for (const auto& [member, promise] : site.clocks) {
    promised = std::max(promised, promise);
  }
  site.lines.emplace_back(stable, promised);
  Hlc forgettable;
  while (!site.lines.empty() && site.lines.front().second <= stable) {
    forgettable = site.lines.front().first;
    site.lines.pop_front();
  }
  std::size_t before = site.database->states();
  site.database->Compact(stable, forgettable);
  coverage_.Hit(Point::kStatesForgotten, before - site.database->states());
}

}  // namespace pgquorum::replication::sim
