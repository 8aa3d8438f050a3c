// Who may use this node now: at login and, for sessions that were there before, at each statement.
#pragma once

namespace pgquorum::admission {

// In ClientAuthentication_hook, after a successful authentication of `user`. Raises FATAL 57P03
// when only administrators are admitted and `user` is none. Replication connections of members
// pass.
void CheckLogin(const char* user);

// A member that streams under the name of another would acknowledge in its place: the name that
// counts
// ("node2.t7", in synchronous_standby_names) must be of the node that the certificate names. Raises
// FATAL 28000. `certificate` is null without TLS: then nothing is compared.
void CheckReplicationName(const char* user, const char* application_name, const char* certificate);

// Before a statement of a session: 57P03 when the node has stopped serving clients since. Sessions
// outlive the promotion of a standby, and rows that a later failover could take back must not be
// read.
void CheckStatement();

}  // namespace pgquorum::admission
