// The fence inside the committing backend: docs/failover.md, "Lease and write gate".
//
// A transaction with a transaction id may begin to commit on a member only while the consensus
// worker holds the gate open and its lease has not run out. The check is at pre-commit, the last
// place where an error still means "not committed". What happens between the check and the commit
// record (a stopped process) is covered by the quorum: without it nobody answers.
//
// Everything here is for members (and closed nodes); in a standalone server each call returns after
// one comparison.
#pragma once

namespace pgquorum::commit_gate {

// PRE_COMMIT, PRE_PREPARE, and around COMMIT PREPARED and ROLLBACK PREPARED. Raises 25006 (or 40001
// while a switchover is under way) when this node may not commit. On success SIGINT and SIGTERM are
// held back until EndCommit() or AbortCommit(), and synchronous_commit is what the rule demands.
void BeginCommit();
// After the wait for the quorum. Where no quorum backs the answer, checks once more and drops the
// connection unanswered when the lease ran out in between.
void EndCommit();
// The transaction failed after BeginCommit(), or never came to it.
void AbortCommit();

// Whether a commit could begin now.
bool IsOpen();

// Before a statement that writes: the same error, early. Cheap.
void RefuseWrites();

// Whether the session's role may do what only administrators may: superusers and members of
// pgquorum_admin. Needs a transaction.
bool IsAdministrator();

}  // namespace pgquorum::commit_gate
