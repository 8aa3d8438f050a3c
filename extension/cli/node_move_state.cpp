// pgquorum node move-state: what a stopped node must not forget, in another place.
#include <cstdio>

#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/rows_json.h"
#include "extension/cli/server.h"
#include "extension/cli/state_mover.h"

namespace pgquorum::cli {
namespace {

const char* NameOf(MoveOutcome outcome) {
  switch (outcome) {
    case MoveOutcome::kMoved:
      return "moved";
    case MoveOutcome::kThere:
      return "there already";
    case MoveOutcome::kTakenBack:
      return "taken back";
  }
  return "";
}

void Print(const MoveStateOptions& options, MoveOutcome outcome, const StateMover& mover,
           const fs::path& to) {
  const bool left = mover.leftovers();
  if (options.json) {
    Json document = Json::object();
    document["outcome"] = NameOf(outcome);
    document["state_directory"] = to.string();
    document["from"] = outcome == MoveOutcome::kMoved ? Json(mover.from().string()) : Json();
    document["leftovers"] = left;
    std::printf("%s\n", document.dump(2).c_str());
  } else {
    std::printf("%s: the state directory is %s\n", NameOf(outcome), to.string().c_str());
  }
  if (left) {
    Say("not everything of " + mover.from().string() + " could be removed; nobody needs it");
  }
}

}  // namespace

Status NodeMoveState(const MoveStateOptions& options) {
  const fs::path data = Absolute(options.data);
  const fs::path to = Absolute(options.to);
  const Result<ServerDirectory> directory = OpenAsOwner(data);
  if (!directory.ok()) {
    return directory.status();
  }
  if (const auto running = FindRunningServer(data)) {
    return WrongState("the server of " + data.string() + " runs (process " +
                      std::to_string(running->pid) + ")")
        .WithHint("Stop it first: pgquorum node stop --data " + data.string());
  }
  StateMover mover(data, directory.value().config / "postgresql.conf", to);
  const Result<MoveOutcome> outcome = mover.Run();
  if (!outcome.ok()) {
    return outcome.status();
  }
  Print(options, outcome.value(), mover, to);
  return Status::Ok();
}

}  // namespace pgquorum::cli
