#include "common/net/remote_file.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/net/url_session.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/scripted_http_server.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint64_t kHead = 64u << 10;  // What is asked for when a file is opened.
constexpr uint64_t kSize = 2 * kHead;

// The answer to a request for [begin, end) of `whole`.
std::string Part(const std::string& whole, uint64_t begin, uint64_t end, const std::string& headers = "ETag: \"one\"\r\n") {
  return absl::StrCat("HTTP/1.1 206 Partial Content\r\n", headers, "Content-Range: bytes ", begin, "-", end - 1, "/", whole.size(), "\r\nContent-Length: ", end - begin,
                      "\r\nConnection: close\r\n\r\n", whole.substr(begin, end - begin));
}

std::string Redirect(const std::string& to) {
  return absl::StrCat("HTTP/1.1 302 Found\r\nLocation: ", to, "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

class RemoteFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<RemoteFile>> Open(const std::string& text, const AwsSettings* sign_with = nullptr) {
    CAIRN_ASSIGN_OR_RETURN(const Url url, Url::Parse(text));
    return RemoteFile::Open(client_, url, sign_with, "far");
  }

  FakeClock clock_;
  HttpClient client_{{.clock = &clock_}};
  const std::string whole_ = PatternBytes(kSize, 1);
};

TEST_F(RemoteFileTest, AMachineBehindARedirectThatIsGoneIsAskedForAgainAtTheFirstPlace) {
  auto machine = std::make_unique<ScriptedHttpServer>(std::vector<std::string>{Part(whole_, 0, kHead)});
  ScriptedHttpServer another({Part(whole_, kHead, kSize)});
  ScriptedHttpServer first({Redirect(machine->Url("/1")), Redirect(another.Url("/2"))});
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<RemoteFile> file, Open(first.Url("/file")));
  machine.reset();
  std::string bytes(kHead, '\0');
  CAIRN_ASSERT_OK(file->Fetch(kHead, absl::MakeSpan(bytes)));
  EXPECT_TRUE(bytes == whole_.substr(kHead));
  EXPECT_THAT(first.requests(), SizeIs(2));
}

TEST_F(RemoteFileTest, MoreBytesThanTheRangeThatIsNamedAreRefused) {
  const std::string lie = absl::StrCat("HTTP/1.1 206 Partial Content\r\nETag: \"one\"\r\nContent-Range: bytes ", kHead, "-", kHead + 9, "/", kSize,
                                       "\r\nContent-Length: 20\r\nConnection: close\r\n\r\n", whole_.substr(kHead, 20));
  ScriptedHttpServer server({Part(whole_, 0, kHead), lie, Part(whole_, kHead + 20, kSize)});
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<RemoteFile> file, Open(server.Url("/file")));
  std::string bytes(kHead, '\0');
  EXPECT_THAT(file->Fetch(kHead, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a range of 10")));
}

TEST_F(RemoteFileTest, WithoutCredentialsNothingIsSigned) {
  ScriptedHttpServer server({Part(whole_, 0, kHead)});
  AwsSettings settings;
  settings.anonymous = true;
  CAIRN_ASSERT_OK(Open(server.Url("/bucket/key"), &settings));
  ASSERT_THAT(server.requests(), SizeIs(1));
  const std::string head = absl::AsciiStrToLower(server.requests()[0]);
  EXPECT_FALSE(absl::StrContains(head, "authorization") || absl::StrContains(head, "x-amz-")) << head;
}

TEST_F(RemoteFileTest, ARequestEndsWhenItsCallerIsInterrupted) {
  ScriptedHttpServer silent({});
  Cancellation cancellation;
  UrlOptions options;
  options.cancellation = cancellation;
  options.interrupted = [&] { return !silent.requests().empty(); };
  CAIRN_ASSERT_OK_AND_ASSIGN(const Url url, Url::Parse(silent.Url("/file")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<UrlSession> session, UrlSession::Make(url, options));
  EXPECT_THAT(session->Open(url), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(cancellation.cancelled());
  silent.AwaitLeft();
}

TEST_F(RemoteFileTest, FilesOfWhichAServerTellsNoStateMayBeOpenedAgain) {
  constexpr int kFiles = 40;  // More than are kept open.
  const std::string small = whole_.substr(0, 100);
  ScriptedHttpServer server(std::vector<std::string>(kFiles + 1, Part(small, 0, 100, "")));
  std::vector<Url> urls;
  for (int i = 0; i < kFiles; ++i) {
    CAIRN_ASSERT_OK_AND_ASSIGN(Url url, Url::Parse(server.Url(absl::StrCat("/", i))));
    urls.push_back(std::move(url));
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<UrlSession> session, UrlSession::Make(urls[0], {}));
  for (const Url& url : urls) CAIRN_ASSERT_OK(session->Open(url));
  CAIRN_EXPECT_OK(session->Open(urls[0]));
  EXPECT_THAT(server.requests(), SizeIs(kFiles + 1));
  // Another run cannot know whether they are the same.
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<UrlSession> other, UrlSession::Make(urls[0], {}));
  server.set_answers(std::vector<std::string>(kFiles + 2, Part(small, 0, 100, "")));
  CAIRN_ASSERT_OK(other->Open(urls[0]));
  EXPECT_FALSE(absl::StrContains(session->Identity(), other->Identity()));
}

}  // namespace
}  // namespace cairn::testing
