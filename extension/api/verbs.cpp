// SQL area "verbs": actions on the cluster. Each is a request to the consensus worker of this node,
// standby or primary, and returns when the cluster has decided or the outcome shows.
#include "extension/pg/boundary.h"

extern "C" {
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
}

#include "extension/shmem.h"
#include "sqlstates.h"

namespace pgquorum::api {
namespace {

constexpr int64_t kMaxTimeoutMs = 3'600'000;

// The request of this session's role. Raises for arguments that no verb accepts.
shared::RequestArguments Begin(shared::Verb verb) {
  shared::RequestArguments arguments = {};
  arguments.verb = verb;
  arguments.timeout_ms = 10'000;
  arguments.user.Set(GetUserNameFromId(GetSessionUserId(), false));
  return arguments;
}

void SetNode(shared::RequestArguments& arguments, FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) {
    return;
  }
  arguments.node.Set(text_to_cstring(PG_GETARG_TEXT_PP(index)));
}

void RequireNode(const shared::RequestArguments& arguments) {
  if (arguments.node.empty()) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a node must be named"),
                    errhint("system.cluster_members lists the nodes.")));
  }
}

int64_t Milliseconds(FunctionCallInfo fcinfo, int index, const char* what) {
  if (PG_ARGISNULL(index)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what)));
  }
  const Interval* value = PG_GETARG_INTERVAL_P(index);
  int64_t days = value->day + int64_t{value->month} * DAYS_PER_MONTH;
  int64_t milliseconds = value->time / 1000 + days * SECS_PER_DAY * 1000;
  if (milliseconds <= 0) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be positive", what)));
  }
  return milliseconds;
}

void SetTimeout(shared::RequestArguments& arguments, FunctionCallInfo fcinfo, int index) {
  arguments.timeout_ms =
      static_cast<uint32_t>(Min(Milliseconds(fcinfo, index, "timeout"), kMaxTimeoutMs));
}

// Sends the request; returns the answer's text, or null when it has none. Raises its error.
text* Send(const shared::RequestArguments& arguments) {
  static char answer[sizeof(shared::RequestAnswer::text)];
  answer[0] = '\0';
  pg::ErrorText error = {};
  if (!shmem::Call(arguments, answer, sizeof(answer), &error)) {
    pg::Raise(error);
  }
  return answer[0] == '\0' ? nullptr : cstring_to_text(answer);
}

}  // namespace
}  // namespace pgquorum::api

using namespace pgquorum;       // lint: allow(using) C entry points
using namespace pgquorum::api;  // lint: allow(using) C entry points

// failover(target text, timeout interval) -> text
PGQUORUM_FUNCTION(pgquorum_failover) {
  shared::RequestArguments arguments = Begin(shared::Verb::kFailover);
  SetNode(arguments, fcinfo, 0);
  SetTimeout(arguments, fcinfo, 1);
  text* answer = Send(arguments);
  if (answer == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_TEXT_P(answer);
}

// force_failover(target text, accept_loss boolean, timeout interval) -> text
PGQUORUM_FUNCTION(pgquorum_force_failover) {
  shared::RequestArguments arguments = Begin(shared::Verb::kForceFailover);
  SetNode(arguments, fcinfo, 0);
  arguments.accept_loss = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1) ? 1 : 0;
  SetTimeout(arguments, fcinfo, 2);
  text* answer = Send(arguments);
  if (answer == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_TEXT_P(answer);
}

// create_join_token(ttl interval) -> text
PGQUORUM_FUNCTION(pgquorum_create_join_token) {
  shared::RequestArguments arguments = Begin(shared::Verb::kCreateJoinToken);
  arguments.number = Max(int64_t{1}, Milliseconds(fcinfo, 0, "ttl") / 1000);
  text* answer = Send(arguments);
  if (answer == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("the cluster returned no token")));
  }
  PG_RETURN_TEXT_P(answer);
}

// remove_member(node text, timeout interval) -> void
PGQUORUM_FUNCTION(pgquorum_remove_member) {
  shared::RequestArguments arguments = Begin(shared::Verb::kRemoveMember);
  SetNode(arguments, fcinfo, 0);
  RequireNode(arguments);
  SetTimeout(arguments, fcinfo, 1);
  Send(arguments);
  PG_RETURN_VOID();
}

// set_priority(node text, priority integer) -> void
PGQUORUM_FUNCTION(pgquorum_set_priority) {
  shared::RequestArguments arguments = Begin(shared::Verb::kSetPriority);
  SetNode(arguments, fcinfo, 0);
  RequireNode(arguments);
  if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 0 || PG_GETARG_INT32(1) > 100) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("a priority is a number from 0 to 100"),
                    errdetail("Higher is preferred; 0 never becomes primary by itself.")));
  }
  arguments.number = PG_GETARG_INT32(1);
  Send(arguments);
  PG_RETURN_VOID();
}

// pause_failover() and resume_failover() -> void
PGQUORUM_FUNCTION(pgquorum_pause_failover) {
  (void)fcinfo;
  shared::RequestArguments arguments = Begin(shared::Verb::kPauseFailover);
  arguments.force = 1;
  Send(arguments);
  PG_RETURN_VOID();
}

PGQUORUM_FUNCTION(pgquorum_resume_failover) {
  (void)fcinfo;
  Send(Begin(shared::Verb::kPauseFailover));
  PG_RETURN_VOID();
}
