// pgquorum cluster failover: the SQL verbs system.failover and system.force_failover, and where
// they end. A session on the old primary ends with its server, so the outcome is the history's:
// every node shows it.
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "extension/cli/await.h"
#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/rows_json.h"
#include "extension/cli/sql.h"

namespace pgquorum::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{100};

// The standard's "transaction resolution unknown", as the verbs themselves say it.
constexpr char kOutcomeUnknown[] = "08007";

constexpr char kNewest[] = "SELECT coalesce(max(epoch), 0) FROM system.failover_history";
constexpr char kOutcome[] =
    "SELECT new_primary, old_primary, kind, outcome, epoch, timeline, duration_ms::float8 "
    "FROM system.failover_history "
    "WHERE epoch > $1::bigint AND kind = $2 AND outcome <> 'running' ORDER BY epoch DESC LIMIT 1";

// The session ended: with the old primary (57P01 to 57P03), or nobody knows why.
bool SessionEnded(const Status& status) {
  return status.sqlstate().substr(0, 3) == "57P" || status.sqlstate() == kConnectionFailure;
}

Status Ask(Connection& connection, const FailoverOptions& options) {
  const std::string timeout = std::to_string(options.timeout_s);
  const Result<Rows> answer =
      options.immediate
          ? connection.Query(
                "SELECT system.force_failover(nullif($1, ''), $2::boolean, make_interval(secs => "
                "$3::int))",
                {options.to, options.accept_loss ? "on" : "off", timeout})
          : connection.Query(
                "SELECT system.failover(nullif($1, ''), make_interval(secs => $2::int))",
                {options.to, timeout});
  return answer.status();
}

// The row of the history that this failover made, as soon as a node shows it.
std::optional<Json> AwaitOutcome(const FailoverOptions& options, const std::string& before,
                                 SteadyTime deadline) {
  std::optional<Json> outcome;
  const char* kind = options.immediate ? "forced failover" : "switchover";
  AwaitUntil(deadline, kInterval, [&] {
    Result<Connection> connection = ConnectTo(options.url, options.data);
    if (!connection.ok()) {
      return false;  // the old primary restarts
    }
    const Result<Rows> rows = connection.value().Query(kOutcome, {before, kind});
    if (rows.ok() && !rows.value().values.empty()) {
      outcome = ToJson(rows.value())[0];
    }
    return outcome.has_value();
  });
  return outcome;
}

Status Judge(const FailoverOptions& options, const Json& outcome) {
  const std::string primary = outcome.value("new_primary", "");
  if (outcome.value("outcome", "") != "succeeded") {
    return WrongState("another decision of the cluster overtook the failover")
        .WithHint("pgquorum cluster status shows who is the primary now.");
  }
  if (!options.to.empty() && primary != options.to) {
    return WrongState(primary + " is the primary now, not " + options.to)
        .WithDetail(options.to + " failed on the way, and the cluster chose another node.");
  }
  return Status::Ok();
}

void Print(const FailoverOptions& options, const Json& outcome) {
  if (options.json) {
    std::printf("%s\n", outcome.dump(2).c_str());
    return;
  }
  std::printf("%s is the primary (before: %s; %s of %.0f ms)\n",
              outcome.value("new_primary", "").c_str(), outcome.value("old_primary", "").c_str(),
              outcome.value("kind", "").c_str(), outcome.value("duration_ms", 0.0));
}

}  // namespace

Status ClusterFailover(const FailoverOptions& options) {
  const SteadyTime deadline = After(std::chrono::seconds(options.timeout_s));
  Result<Connection> connection = ConnectTo(options.url, options.data);
  if (!connection.ok()) {
    return connection.status();
  }
  const Result<Rows> newest = connection.value().Query(kNewest);
  if (!newest.ok()) {
    return WithoutExtension(newest.status());
  }
  const Status asked = Ask(connection.value(), options);
  if (!asked.ok() && !SessionEnded(asked)) {
    return asked;
  }
  if (!asked.ok()) {
    Say("The session ended with the old primary; looking for the outcome");
  }
  const std::string before = newest.value().values[0][0].value_or("0");
  const std::optional<Json> outcome = AwaitOutcome(options, before, deadline);
  if (!outcome) {
    return Status::Error(kOutcomeUnknown, "the outcome of the failover is not known")
        .WithDetail(asked.ok() ? "No node showed it in time." : OneLine(asked.message()))
        .WithHint("Look before you repeat: pgquorum cluster status, system.failover_history");
  }
  const Status judged = Judge(options, *outcome);
  if (judged.ok() || options.json) {
    Print(options, *outcome);
  }
  return judged;
}

}  // namespace pgquorum::cli
