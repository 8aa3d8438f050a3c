// Who may use this node now: at login and, for sessions that were there before, at each statement.
#pragma once

namespace pgquorum::admission {

// In ClientAuthentication_hook, after a successful authentication, before the others. A node that
// has been appointed serves within a fraction of a second: a client that comes meanwhile waits
// here, a second at most, and finds it open, where it would else be sent round all hosts and sleep
// before it tried again. Replication connections do not wait.
void AwaitSettling();

// In ClientAuthentication_hook, after a successful authentication of `user`. Raises FATAL 57P03
// when only administrators are admitted and `user` is none. Replication connections of members
// pass.
void CheckLogin(const char* user);

// A replication connection under a name that counts for commits ("node2.t7", the form of the names
// in synchronous_standby_names) is the standby's word that it follows the appointment of timeline 7
// and that its WAL is part of that history. It is believed only when
// - the connection is of pgquorum_replicator, and the certificate names that node (without TLS
//   there is none to compare),
// - the node is a member,
// - this server is the primary and writes that very timeline: the name of an earlier appointment is
//   refused, and so is the history that goes with it. In recovery only ".t0" is accepted, by which
//   a recruit fetches its missing WAL from another one,
// - nothing that the member has reported contradicts it: a pledge to a later epoch, or WAL that
//   this server has not,
// - no other connection has the name: two would count twice. The older one may be of a network that
//   is gone, so it is ended; the standby, which tries again by itself, comes next.
// Other names do not count and may stream.
//
// For this walsender: whether it may take the name, wherever that comes from. False: SQLSTATE and
// detail (static) are set.
bool MayTakeName(const char* application_name, int* sqlstate, const char** detail);

// At login on a primary that may not write now (its lease has run out, or a switchover is under
// way): the session says so, by default_transaction_read_only, which libpq reads for
// target_session_attrs. read-write then goes on to the next host, and read-only ones are content.
// Taken back before the first statement that finds the primary writing again.
void MarkSession();

// Before a statement of a session: 57P03 when the node has stopped serving clients since. Sessions
// outlive the promotion of a standby, and rows that a later failover could take back must not be
// read.
void CheckStatement();

}  // namespace pgquorum::admission
