#include <gtest/gtest.h>

#include <string>

#include "bgworkers/consensus/postgres_config.h"

namespace pgquorum::consensus {
namespace {

TEST(PostgresSettings, QuotesAsPostgresqlConfReads) {
  EXPECT_EQ(QuoteSetting(""), "''");
  EXPECT_EQ(QuoteSetting("a 'b' \\ c"), "'a ''b'' \\\\ c'");
  EXPECT_EQ(QuoteSetting("one\ntwo"), "'onetwo'");  // a line end would end the setting
}

TEST(PostgresSettings, StandbyNamesCarryTheTimeline) {
  EXPECT_EQ(StandbyName("node2", failover::Timeline(7)), "node2.t7");
}

TEST(PostgresSettings, SynchronousStandbyNames) {
  EXPECT_EQ(BuildSynchronousStandbyNames(1, {"node2.t7", "node3.t7"}).value(),
            "ANY 1 (\"node2.t7\",\"node3.t7\")");
  EXPECT_EQ(BuildSynchronousStandbyNames(2, {"a", "b"}).value(), "ANY 2 (\"a\",\"b\")");
  EXPECT_EQ(BuildSynchronousStandbyNames(1, {"a\"b"}).value(), "ANY 1 (\"a\"\"b\")");
  EXPECT_EQ(BuildSynchronousStandbyNames(0, {"a"}).value(), "");
  EXPECT_EQ(BuildSynchronousStandbyNames(0, {}).value(), "");
  EXPECT_EQ(BuildSynchronousStandbyNames(1, {}).status().sqlstate(), "22023");
  EXPECT_EQ(BuildSynchronousStandbyNames(3, {"a", "b"}).status().sqlstate(), "22023");
}

TEST(PostgresSettings, ConninfoQuotesEveryValue) {
  Upstream upstream;
  upstream.host = "10.0.0.2";
  upstream.port = 5433;
  upstream.application_name = "it's\\me";
  upstream.pki_directory = "/state dir/pki";
  const std::string text = BuildPrimaryConninfo(upstream);
  EXPECT_TRUE(
      text.starts_with("host='10.0.0.2' port='5433' user='pgquorum_replicator' "
                       "application_name='it\\'s\\\\me' sslmode='verify-ca' "
                       "sslrootcert='/state dir/pki/ca.crt' "))
      << text;
  EXPECT_NE(text.find("tcp_user_timeout='3000'"), std::string::npos);
}

TEST(PostgresSettings, NoTlsOverUnixSocketsOrWhenOff) {
  Upstream upstream;
  upstream.host = "/run/postgresql";
  upstream.pki_directory = "/pki";
  EXPECT_EQ(BuildPrimaryConninfo(upstream).find("sslcert"), std::string::npos);
  upstream.host = "10.0.0.2";
  EXPECT_NE(BuildPrimaryConninfo(upstream).find("sslcert"), std::string::npos);
  upstream.tls = false;
  EXPECT_EQ(BuildPrimaryConninfo(upstream).find("sslcert"), std::string::npos);
}

TEST(PostgresSettings, FileHoldsWhatFollowsFromPledgeAndRule) {
  PostgresSettings settings;
  settings.primary_conninfo = "host='a'";
  settings.synchronous_standby_names = "ANY 1 (\"b\")";
  settings.sync_generation = 12;
  const std::string text = FormatSettings(settings);
  EXPECT_NE(text.find("\nprimary_conninfo = 'host=''a'''\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nprimary_slot_name = ''\n"), std::string::npos);
  EXPECT_NE(text.find("\nsynchronous_standby_names = 'ANY 1 (\"b\")'\n"), std::string::npos);
  EXPECT_NE(text.find("\npgquorum.sync_generation = '12'\n"), std::string::npos);
  EXPECT_EQ(text.find("restore_command"), std::string::npos);
  settings.lift_replay_delay = true;
  settings.wal_retrieve_retry_interval_ms = 100;
  const std::string lifted = FormatSettings(settings);
  EXPECT_NE(lifted.find("\nrecovery_min_apply_delay = '0'\nrestore_command = ''\n"),
            std::string::npos);
  EXPECT_NE(lifted.find("\nwal_retrieve_retry_interval = '100ms'\n"), std::string::npos);
}

}  // namespace
}  // namespace pgquorum::consensus
