#include "client/cli/tls_flags.h"

#include <fstream>
#include <map>
#include <string>

#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

constexpr char kServer[] = "host:1";
constexpr auto kUsage = absl::StatusCode::kInvalidArgument;

class TlsFlagsTest : public ::testing::Test {
 protected:
  std::string Pem(const std::string& name) {
    std::ofstream(folder_ / name) << "-----BEGIN " << name;
    return folder_ / name;
  }

  const testing::TempDir folder_;
};

TlsFlags Environment(std::map<std::string, std::string> variables) {
  return TlsFromEnvironment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST_F(TlsFlagsTest, NothingSaidIsPlainText) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tls, ReadTls(kServer, {}, Environment({})));
  EXPECT_FALSE(tls.has_value());
}

TEST_F(TlsFlagsTest, EachOptionAsksForTls) {
  for (TlsFlags flags : {TlsFlags{.tls = true}, TlsFlags{.ca = Pem("ca")}, TlsFlags{.cert = Pem("cert")},
                         TlsFlags{.key = Pem("key")}, TlsFlags{.server_name = "x"}}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto tls, ReadTls(kServer, flags, {}));
    EXPECT_TRUE(tls.has_value());
  }
}

TEST_F(TlsFlagsTest, FilesAreReadAndFlagsWinOverTheEnvironmentOneByOne) {
  const TlsFlags environment = Environment({{"CAIRN_TLS_CA", Pem("ca")},
                                            {"CAIRN_TLS_CERT", Pem("cert")},
                                            {"CAIRN_TLS_KEY", Pem("key")},
                                            {"CAIRN_TLS_SERVER_NAME", "x"}});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tls, ReadTls(kServer, {.ca = Pem("other")}, environment));
  EXPECT_EQ(tls->root_certificates, "-----BEGIN other");
  EXPECT_EQ(tls->client_certificate, "-----BEGIN cert");
  EXPECT_EQ(tls->client_key, "-----BEGIN key");
  EXPECT_EQ(tls->server_name, "x");
}

TEST_F(TlsFlagsTest, TheEnvironmentDoesNotConcernAUnixSocket) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tls, ReadTls("unix:/s", {}, Environment({{"CAIRN_TLS", "1"}})));
  EXPECT_FALSE(tls.has_value());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto asked, ReadTls("unix:/s", {.tls = true}, {}));
  EXPECT_TRUE(asked.has_value());  // For the client to refuse.
}

TEST_F(TlsFlagsTest, NoTlsOverridesTheEnvironmentAndContradictsOtherOptions) {
  const TlsFlags environment = Environment({{"CAIRN_TLS", "1"}, {"CAIRN_TLS_CA", "/nowhere"}});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tls, ReadTls(kServer, {.tls = false}, environment));
  EXPECT_FALSE(tls.has_value());
  EXPECT_THAT(ReadTls(kServer, {.tls = false, .ca = "x"}, {}), StatusIs(kUsage, HasSubstr("--no-tls")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto off,
                             ReadTls(kServer, {}, Environment({{"CAIRN_TLS", "0"}, {"CAIRN_TLS_CA", "/nowhere"}})));
  EXPECT_FALSE(off.has_value());
}

TEST_F(TlsFlagsTest, AFileThatCannotBeUsedIsAMistakeOfTheCall) {
  const auto missing = ReadTls(kServer, {.ca = folder_ / "none"}, {});
  EXPECT_THAT(missing, StatusIs(kUsage, HasSubstr("--tls-ca: ")));
  EXPECT_EQ(ExitCodeFor(missing.status()), kExitUsage);
  std::ofstream(folder_ / "text") << "hello";
  EXPECT_THAT(ReadTls(kServer, {.key = folder_ / "text"}, {}),
              StatusIs(kUsage, HasSubstr("--tls-key: " + (folder_ / "text"))));
}

}  // namespace
}  // namespace cairn::cli
