#include "common/net/remote_file.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint64_t kHeadBytes = 64u << 10;
// A file that comes whole, although a part was asked for, is kept up to this size: an index, a configuration.
constexpr uint64_t kMaxWhole = 1u << 20;
constexpr absl::Duration kMovedFor = absl::Minutes(4);
constexpr absl::string_view kNoRanges =
    "gives no ranges of its files, only whole ones; expected a server that answers 206 to \"Range\", or download the file and use that";

absl::Status CheckCoding(const HttpResponse& response) {
  const std::string& coding = response.Header("content-encoding");
  if (coding.empty() || absl::EqualsIgnoreCase(coding, "identity")) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the server answered with content encoding ", absl::CHexEscape(coding), ", of which there are no ranges; expected the file as it is"));
}

}  // namespace

absl::StatusOr<ContentRange> ParseContentRange(absl::string_view text) {
  const auto refuse = [&] { return absl::FailedPreconditionError(absl::StrCat("expected \"Content-Range: bytes FIRST-LAST/TOTAL\", found \"", absl::CHexEscape(text.substr(0, 80)), "\"")); };
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, "bytes ")) return refuse();
  const std::vector<absl::string_view> sides = absl::StrSplit(rest, '/');
  if (sides.size() != 2) return refuse();
  const std::vector<absl::string_view> ends = absl::StrSplit(sides[0], '-');
  const auto number = [](absl::string_view digits, uint64_t* out) {
    return !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) && absl::SimpleAtoi(digits, out);
  };
  ContentRange range;
  uint64_t last = 0;
  if (ends.size() != 2 || !number(ends[0], &range.begin) || !number(ends[1], &last) || !number(sides[1], &range.total)) return refuse();
  // So that sums of offsets cannot overflow anywhere.
  if (last < range.begin || last >= range.total || range.total > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return refuse();
  range.end = last + 1;
  return range;
}

absl::StatusOr<std::shared_ptr<RemoteFile>> RemoteFile::Open(HttpClient& client, const Url& url, const AwsSettings* sign_with, std::string name) {
  std::shared_ptr<RemoteFile> file(new RemoteFile(client, url, sign_with, std::move(name)));
  CAIRN_RETURN_IF_ERROR(file->ReadHead());
  return file;
}

HttpRequest RemoteFile::RangeRequest(const Url& url, uint64_t begin, absl::Span<char> into) const {
  HttpRequest request;
  request.url = url;
  request.sign_with = sign_with_;
  request.headers = {{"Range", absl::StrCat("bytes=", begin, "-", begin + into.size() - 1)}, {"Accept-Encoding", "identity"}};
  request.partial_into = into;
  request.max_body = kMaxWhole;
  return request;
}

absl::Status RemoteFile::ReadHead() {
  std::string head(kHeadBytes, '\0');
  HttpRequest request = RangeRequest(url_, 0, absl::MakeSpan(head));
  request.accept = [](const HttpResponse& response) -> absl::Status {
    if (response.status >= 300) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(CheckCoding(response));
    uint64_t length = 0;
    const std::string& header = response.Header("content-length");
    if (response.status == 206 || (absl::SimpleAtoi(header, &length) && length <= kMaxWhole)) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("the server answered ", response.status, " and ", kNoRanges));
  };
  // Each time from the front, so that the bytes are of one answer.
  constexpr int kExpected[] = {416};
  CAIRN_ASSIGN_OR_RETURN(HttpResponse response, client_.Send(request, kExpected));
  if (response.status == 416) {
    // There is no first byte.
    if (response.Header("content-range") != "bytes */0") return StatusOfResponse(response, name_);
    return Learn(response, 0);
  }
  if (response.status == 206) {
    const absl::StatusOr<ContentRange> range = ParseContentRange(response.Header("content-range"));
    if (!range.ok()) return Annotate(range.status(), name_);
    if (range->begin != 0 || range->end != response.received) {
      return absl::FailedPreconditionError(absl::StrCat(name_, ": asked for bytes from 0 on, the server sent ", response.received, " bytes as \"", absl::CHexEscape(response.Header("content-range")), "\""));
    }
    head.resize(response.received);
    head_ = std::move(head);
    CAIRN_RETURN_IF_ERROR(Learn(response, range->total));
    RememberUrl(response.url);
    return absl::OkStatus();
  }
  head_ = std::move(response.body);
  return Learn(response, head_.size());
}

absl::Status RemoteFile::Learn(const HttpResponse& response, uint64_t size) {
  size_ = size;
  const std::string& etag = response.Header("etag");
  (absl::StartsWith(etag, "W/") ? weak_etag_ : etag_) = etag;
  last_modified_ = response.Header("last-modified");
  redirected_ = response.url.ForRequest() != url_.ForRequest();
  if (!etag.empty() || !last_modified_.empty()) identity_ = absl::StrCat(url_.Shown(), " ", size_, " ", etag, " ", last_modified_);
  return absl::OkStatus();
}

absl::Status RemoteFile::Changed(absl::string_view what) const {
  return absl::AbortedError(absl::StrCat(name_, ": has changed while it was read (", what, "); run the command again"));
}

absl::Status RemoteFile::CheckSame(const HttpResponse& response) const {
  const std::string& etag = response.Header("etag");
  const std::string& known = etag_.empty() ? weak_etag_ : etag_;
  if (etag != known) {
    return Changed(absl::StrCat("ETag ", absl::CHexEscape(known.substr(0, 80)), ", now ", absl::CHexEscape(etag.substr(0, 80))));
  }
  const std::string& time = response.Header("last-modified");
  // Machines behind one name may differ in the time; an ETag that is equal says enough.
  if (known.empty() && time != last_modified_) {
    return Changed(absl::StrCat("last modified ", absl::CHexEscape(last_modified_.substr(0, 80)), ", now ", absl::CHexEscape(time.substr(0, 80))));
  }
  return absl::OkStatus();
}

Url RemoteFile::UrlNow(bool* moved) const {
  absl::MutexLock lock(&mu_);
  *moved = client_.options().clock->Now() - moved_at_ < kMovedFor;
  return *moved ? moved_to_ : url_;
}

void RemoteFile::RememberUrl(const Url& url) const {
  absl::MutexLock lock(&mu_);
  if (url.ForRequest() == url_.ForRequest()) return;
  moved_to_ = url;
  moved_at_ = client_.options().clock->Now();
}

absl::Status RemoteFile::Fetch(uint64_t offset, absl::Span<char> dst) const {
  if (offset < head_.size()) {
    const size_t count = std::min<size_t>(dst.size(), head_.size() - offset);
    std::memcpy(dst.data(), head_.data() + offset, count);
    dst.remove_prefix(count);
    offset += count;
  }
  uint64_t got = 0;
  for (int number = 1; got < dst.size();) {
    bool moved = false;
    const Url url = UrlNow(&moved);
    HttpRequest request = RangeRequest(url, offset + got, dst.subspan(got));
    if (redirected_) {
      // Who redirects may know the file by another ETag; what the answer says is looked at all the same.
    } else if (!etag_.empty()) {
      request.headers.emplace_back("If-Match", etag_);
    } else if (!last_modified_.empty() && weak_etag_.empty()) {
      request.headers.emplace_back("If-Unmodified-Since", last_modified_);
    }
    const uint64_t begin = offset + got, wanted = dst.size() - got;
    uint64_t named = 0;  // Bytes of the range that the answer says it has.
    request.accept = [&](const HttpResponse& response) -> absl::Status {
      if (response.status >= 300) return absl::OkStatus();
      CAIRN_RETURN_IF_ERROR(CheckCoding(response));
      if (response.status != 206) return absl::FailedPreconditionError(absl::StrCat("the server answered ", response.status, " and ", kNoRanges));
      CAIRN_RETURN_IF_ERROR(CheckSame(response));
      CAIRN_ASSIGN_OR_RETURN(const ContentRange range, ParseContentRange(response.Header("content-range")));
      if (range.total != size_) return Changed(absl::StrCat(size_, " bytes, now ", range.total));
      named = range.end - range.begin;
      if (range.begin == begin && named <= wanted) return absl::OkStatus();
      return absl::FailedPreconditionError(absl::StrCat("asked for bytes [", begin, ", ", begin + wanted, "), the server sent [", range.begin, ", ", range.end, ")"));
    };
    HttpAttempt attempt = client_.Try(request);
    if (attempt.response.received > named) {
      return absl::FailedPreconditionError(absl::StrCat(name_, ": the server sent ", attempt.response.received, " bytes as a range of ", named, " at ", begin));
    }
    // Bytes of a transfer that broke are as good as others: they were accepted, and what follows is asked for separately.
    if (attempt.response.status == 206 && (attempt.status.ok() || attempt.may_retry)) got += attempt.response.received;
    if (attempt.status.ok() && attempt.response.status == 206) {
      if (attempt.response.received == 0) return absl::DataLossError(absl::StrCat(name_, ": the server sent nothing of bytes [", begin, ", ", begin + wanted, ")"));
      RememberUrl(attempt.response.url);
      continue;
    }
    if (got == dst.size()) break;
    const bool refused = attempt.status.ok() && attempt.response.status >= 400;
    if (moved && (refused || attempt.may_retry)) {
      // What a redirect gives is often for some minutes only, and the machine behind it may be gone: ask at the first place again.
      absl::MutexLock lock(&mu_);
      moved_at_ = absl::InfinitePast();
    }
    if (moved && refused) continue;
    if (attempt.status.ok() && attempt.response.status == 412) return Changed("the server answered 412");
    if (attempt.status.ok() && attempt.response.status == 416) return Changed(absl::StrCat("it has no bytes at ", begin, " any more"));
    const absl::Status failure = client_.Pause(number++, attempt);
    if (!failure.ok()) return Annotate(failure, name_);
  }
  return absl::OkStatus();
}

}  // namespace cairn
