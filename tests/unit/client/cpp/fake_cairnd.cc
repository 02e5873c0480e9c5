#include "tests/unit/client/cpp/fake_cairnd.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "proto/wire/proto_convert.h"
#include "proto/wire/status_wire.h"

namespace cairn::client {
namespace {

constexpr char kUid[] = "uid-of-the-fake";
constexpr char kSession[] = "session-of-the-fake";

std::string Key(const v1::KeyPath& path, bool has_box, const v1::Box& box) {
  return absl::StrCat(wire::FromProto(path)->ToString(), has_box ? absl::StrCat(" ", box.ShortDebugString()) : "");
}

// The next number of a script, which is used up; -1 if there is none.
int TakeNext(std::vector<int>* numbers) {
  if (numbers->empty()) return -1;
  const int next = numbers->front();
  numbers->erase(numbers->begin());
  return next;
}

}  // namespace

// One PutTensor stream.
struct FakeCairnd::Upload {
  std::vector<std::string> declared;  // Keys of shards_, in order.
  uint64_t bytes = 0;
};

FakeCairnd::FakeCairnd(const std::string& unix_path) {
  target_ = unix_path.empty() ? "127.0.0.1:0" : absl::StrCat("unix:", unix_path);
  Listen();
}

FakeCairnd::~FakeCairnd() { server_->Shutdown(std::chrono::system_clock::now()); }

void FakeCairnd::Listen() {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(target_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (!absl::StartsWith(target_, "unix:")) target_ = absl::StrCat("127.0.0.1:", port);
}

void FakeCairnd::Restart() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  Listen();
}

void FakeCairnd::set_put_script(PutScript script) {
  absl::MutexLock lock(&mu_);
  put_script_ = std::move(script);
}

void FakeCairnd::set_get_script(GetScript script) {
  absl::MutexLock lock(&mu_);
  get_script_ = std::move(script);
}

void FakeCairnd::Serve(std::vector<ServedEntry> entries) {
  absl::MutexLock lock(&mu_);
  served_ = std::move(entries);
}

void FakeCairnd::FailNext(const std::string& method, std::vector<absl::Status> failures, bool after) {
  absl::MutexLock lock(&mu_);
  for (absl::Status& status : failures) failures_[method].push_back({std::move(status), after});
}

int FakeCairnd::calls(const std::string& method) const {
  absl::MutexLock lock(&mu_);
  const auto it = calls_.find(method);
  return it == calls_.end() ? 0 : it->second;
}

std::vector<std::string> FakeCairnd::session_keys() const {
  absl::MutexLock lock(&mu_);
  return session_keys_;
}

std::vector<v1::PutTensorRequest> FakeCairnd::put_messages() const {
  absl::MutexLock lock(&mu_);
  return put_messages_;
}

std::vector<v1::GetTensorRequest> FakeCairnd::get_requests() const {
  absl::MutexLock lock(&mu_);
  return get_requests_;
}

uint64_t FakeCairnd::durable_bytes_sent_again() const {
  absl::MutexLock lock(&mu_);
  return sent_again_;
}

std::map<std::string, FakeCairnd::Shard> FakeCairnd::shards() const {
  absl::MutexLock lock(&mu_);
  return shards_;
}

std::vector<std::string> FakeCairnd::deleted() const {
  absl::MutexLock lock(&mu_);
  return deleted_;
}

// Called at the beginning of a call (after == false) and at its end.
grpc::Status FakeCairnd::Enter(const std::string& method, bool after) {
  absl::MutexLock lock(&mu_);
  if (!after) ++calls_[method];
  std::vector<Failure>& failures = failures_[method];
  if (failures.empty() || failures.front().after != after) return grpc::Status::OK;
  const absl::Status status = failures.front().status;
  failures.erase(failures.begin());
  return wire::ToGrpcStatus(status);
}

v1::Checkpoint FakeCairnd::Served() const {
  v1::Checkpoint checkpoint;
  checkpoint.set_uid(kUid);
  checkpoint.set_name("team/run");
  checkpoint.set_step(7);
  checkpoint.set_entry_count(served_.size());
  return checkpoint;
}

grpc::Status FakeCairnd::BeginSave(Context*, const v1::BeginSaveRequest* request, v1::BeginSaveResponse* response) {
  {
    absl::MutexLock lock(&mu_);
    session_keys_.push_back(request->session_key());
  }
  if (grpc::Status status = Enter("BeginSave", false); !status.ok()) return status;
  absl::MutexLock lock(&mu_);
  response->mutable_session()->set_session_id(kSession);
  response->mutable_session()->set_name(request->name());
  response->mutable_session()->set_step(request->step());
  response->mutable_session()->set_writers(request->writers());
  response->mutable_session()->set_state(committed_ ? v1::SESSION_STATE_COMMITTED : v1::SESSION_STATE_OPEN);
  for (uint32_t writer : finished_writers_) response->mutable_session()->add_finished_writers(writer);
  if (committed_) *response->mutable_session()->mutable_checkpoint() = Served();
  response->set_max_chunk_bytes(4 * put_script_.extent_bytes);
  response->set_extent_bytes(put_script_.extent_bytes);
  return grpc::Status::OK;
}

absl::Status FakeCairnd::TakeMessage(const v1::PutTensorRequest& request, Upload* upload) {
  if (request.small_size() == 0) return TakePart(request, upload);
  // Each as a message of its own.
  size_t taken = 0;
  for (const v1::PutTensorRequest::Small& small : request.small()) {
    v1::PutTensorRequest part;
    *part.mutable_declare()->mutable_entry() = small.entry();
    if (small.has_box()) *part.mutable_declare()->mutable_box() = small.box();
    if (small.bytes() > request.data().size() - taken) return absl::InvalidArgumentError("small entries without bytes");
    part.set_data(request.data().substr(taken, small.bytes()));
    taken += small.bytes();
    if (small.bytes() > 0) part.mutable_chunk()->set_crc32c(small.crc32c());
    part.set_finish(true);
    if (absl::Status status = TakePart(part, upload); !status.ok()) return status;
  }
  return taken == request.data().size() ? absl::OkStatus() : absl::InvalidArgumentError("bytes of no small entry");
}

absl::Status FakeCairnd::TakePart(const v1::PutTensorRequest& request, Upload* upload) {
  if (request.has_declare()) {
    const v1::PutTensorRequest::Declare& declare = request.declare();
    if (!upload->declared.empty() && !shards_[upload->declared.back()].finished) {
      return absl::FailedPreconditionError("declared before the last was finished");
    }
    const std::string key = Key(declare.entry().path(), declare.has_box(), declare.box());
    Shard& shard = shards_[key];
    if (put_script_.refuse_offsets > 0 && declare.start_offset() > 0) {
      --put_script_.refuse_offsets;
      return WithErrorInfo(absl::FailedPreconditionError("another offset"), {"RESUME_OFFSET", {}});
    }
    if (declare.start_offset() != shard.durable) {
      return WithErrorInfo(absl::FailedPreconditionError(absl::StrCat(key, ": starts at ", declare.start_offset(),
                                                                      ", but ", shard.durable, " are durable")),
                           {"RESUME_OFFSET", {}});
    }
    const Entry entry = *wire::FromProto(declare.entry());
    shard.entry = declare.entry();
    shard.box = declare.box();
    shard.has_box = declare.has_box();
    shard.total = entry.byte_size;
    if (declare.has_box()) shard.total = *ByteSize(entry.dtype, wire::FromProto(declare.box(), entry.shape)->extent);
    shard.bytes.resize(declare.start_offset());
    shard.finished = false;
    upload->declared.push_back(key);
  }
  if (request.has_chunk()) {
    Shard& shard = shards_[upload->declared.back()];
    if (Crc32c(request.data()) != request.chunk().crc32c()) return absl::InvalidArgumentError("checksum");
    if (request.chunk().offset() != shard.bytes.size()) return absl::FailedPreconditionError("offset");
    const uint64_t acknowledged = acknowledged_[upload->declared.back()];
    if (request.chunk().offset() < acknowledged) {
      sent_again_ += std::min<uint64_t>(acknowledged - request.chunk().offset(), request.data().size());
    }
    shard.bytes += request.data();
    upload->bytes += request.data().size();
  }
  if (request.finish()) {
    Shard& shard = shards_[upload->declared.back()];
    if (shard.bytes.size() != shard.total) return absl::InvalidArgumentError("bytes are missing");
    shard.finished = true;
  }
  return absl::OkStatus();
}

// All whole extents, and the tails of finished entries.
v1::PutTensorResponse FakeCairnd::MakeDurable(Upload* upload) {
  v1::PutTensorResponse answer;
  for (const std::string& key : upload->declared) {
    Shard& shard = shards_[key];
    shard.durable = shard.finished ? shard.bytes.size()
                                   : shard.bytes.size() - shard.bytes.size() % put_script_.extent_bytes;
    if (shard.finished) {
      answer.set_durable_entries(answer.durable_entries() + 1);
    } else {
      answer.set_durable_offset(shard.durable);
    }
  }
  answer.set_durable_bytes(upload->bytes);
  return answer;
}

grpc::Status FakeCairnd::PutTensor(Context* context,
                                   grpc::ServerReaderWriter<v1::PutTensorResponse, v1::PutTensorRequest>* stream) {
  if (grpc::Status status = Enter("PutTensor", false); !status.ok()) return status;
  int break_after;
  {
    absl::MutexLock lock(&mu_);
    break_after = TakeNext(&put_script_.break_after);
  }
  Upload upload;
  v1::PutTensorRequest request;
  for (int messages = 0; stream->Read(&request); ++messages) {
    std::optional<v1::PutTensorResponse> answer;
    {
      absl::MutexLock lock(&mu_);
      put_messages_.push_back(request);
      if (messages == break_after) {
        if (put_script_.keep_unacknowledged) MakeDurable(&upload);
        return wire::ToGrpcStatus(put_script_.break_with);
      }
      if ((messages == 0) != request.has_open()) return wire::ToGrpcStatus(absl::InvalidArgumentError("open"));
      if (absl::Status status = TakeMessage(request, &upload); !status.ok()) return wire::ToGrpcStatus(status);
      const int every = put_script_.acknowledge_every;
      if ((request.flush() || (every > 0 && messages % every == every - 1)) && !put_script_.never_answer) {
        answer = MakeDurable(&upload);
        for (const std::string& key : upload.declared) acknowledged_[key] = shards_[key].durable;
        if (put_script_.answer_with.has_value()) answer = put_script_.answer_with;
      }
    }
    if (answer.has_value() && !stream->Write(*answer)) break;
  }
  return context->IsCancelled() ? grpc::Status(grpc::CANCELLED, "cancelled") : grpc::Status::OK;
}

grpc::Status FakeCairnd::GetSaveStatus(Context*, const v1::GetSaveStatusRequest* request,
                                       v1::GetSaveStatusResponse* response) {
  if (grpc::Status status = Enter("GetSaveStatus", false); !status.ok()) return status;
  absl::MutexLock lock(&mu_);
  response->mutable_session()->set_session_id(kSession);
  response->mutable_session()->set_state(v1::SESSION_STATE_OPEN);
  // One shard a page.
  int index = 0;
  for (const auto& [key, shard] : shards_) {
    if (absl::StrCat(index++) != request->page_token() && !(index == 1 && request->page_token().empty())) continue;
    v1::ShardStatus* status = response->add_shards();
    *status->mutable_path() = shard.entry.path();
    if (shard.has_box) *status->mutable_box() = shard.box;
    status->set_durable_bytes(shard.durable);
    status->set_total_bytes(shard.total);
    status->set_finished(shard.finished && shard.durable == shard.total);
    if (index < static_cast<int>(shards_.size())) response->set_next_page_token(absl::StrCat(index));
  }
  return grpc::Status::OK;
}

grpc::Status FakeCairnd::FinishWriter(Context*, const v1::FinishWriterRequest* request,
                                      v1::FinishWriterResponse* response) {
  if (grpc::Status status = Enter("FinishWriter", false); !status.ok()) return status;
  absl::MutexLock lock(&mu_);
  finished_writers_.push_back(request->writer());
  response->mutable_session()->set_session_id(request->session_id());
  response->mutable_session()->set_state(v1::SESSION_STATE_OPEN);
  return grpc::Status::OK;
}

grpc::Status FakeCairnd::CommitSave(Context*, const v1::CommitSaveRequest*, v1::CommitSaveResponse* response) {
  if (grpc::Status status = Enter("CommitSave", false); !status.ok()) return status;
  absl::MutexLock lock(&mu_);
  committed_ = true;
  *response->mutable_checkpoint() = Served();
  return grpc::Status::OK;
}

grpc::Status FakeCairnd::GetTensor(Context* context, const v1::GetTensorRequest* request,
                                   grpc::ServerWriter<v1::GetTensorResponse>* stream) {
  if (grpc::Status status = Enter("GetTensor", false); !status.ok()) return status;
  GetScript script;
  std::vector<v1::GetTensorResponse> messages;
  int break_after;
  int first;
  {
    absl::MutexLock lock(&mu_);
    get_requests_.push_back(*request);
    break_after = TakeNext(&get_script_.break_after);
    script = get_script_;
    first = get_messages_;
    v1::GetTensorResponse::Header* header = messages.emplace_back().mutable_header();
    *header->mutable_checkpoint() = Served();
    header->set_entries(served_.size());
    for (size_t i = 0; i < served_.size(); ++i) {
      header->set_total_bytes(header->total_bytes() + served_[i].bytes.size());
      if (i < request->start_entry()) continue;
      const ServedEntry& served = served_[i];
      const bool has_bytes = served.entry.kind == EntryKind::kTensor || served.entry.kind == EntryKind::kAsset;
      uint64_t offset = i == request->start_entry() ? request->start_offset() : 0;
      v1::GetTensorResponse message;
      wire::ToProto(served.entry, message.mutable_start()->mutable_entry());
      if (served.entry.kind == EntryKind::kTensor) {
        wire::ToProto(Box::Whole(served.entry.shape), message.mutable_start()->mutable_box());
      }
      message.mutable_start()->set_bytes(served.bytes.size());
      message.mutable_start()->set_start_offset(offset);
      while (offset < served.bytes.size()) {
        message.set_data(served.bytes.substr(offset, script.chunk_bytes));
        message.mutable_chunk()->set_offset(offset);
        message.mutable_chunk()->set_crc32c(Crc32c(message.data()));
        offset += message.data().size();
        message.set_finish(offset == served.bytes.size());
        messages.push_back(message);
        message.Clear();
      }
      if (served.bytes.empty()) {
        message.set_finish(has_bytes);
        messages.push_back(message);
      }
    }
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (static_cast<int>(i) == break_after) {
      return script.end_quietly ? grpc::Status::OK : wire::ToGrpcStatus(script.break_with);
    }
    if (first + static_cast<int>(i) == script.corrupt_message) (*messages[i].mutable_data())[0] ^= 4;
    if (!stream->Write(messages[i])) return grpc::Status(grpc::CANCELLED, "cancelled");
    {
      absl::MutexLock lock(&mu_);
      ++get_messages_;
    }
    while (script.hang && !context->IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
  }
  return grpc::Status::OK;
}

grpc::Status FakeCairnd::GetCheckpoint(Context*, const v1::GetCheckpointRequest* request, v1::Checkpoint* response) {
  if (grpc::Status status = Enter("GetCheckpoint", false); !status.ok()) return status;
  absl::MutexLock lock(&mu_);
  if (absl::StrContains(request->ref(), "missing")) {
    return wire::ToGrpcStatus(WithErrorInfo(absl::NotFoundError("no such checkpoint"), {"NO_CHECKPOINT", {}}));
  }
  *response = Served();
  for (const auto& [tag, uid] : tags_) {
    if (absl::EndsWith(request->ref(), absl::StrCat("@", tag))) response->set_uid(uid);
  }
  return grpc::Status::OK;
}

grpc::Status FakeCairnd::DeleteCheckpoint(Context*, const v1::DeleteCheckpointRequest* request,
                                          v1::DeleteCheckpointResponse* response) {
  if (grpc::Status status = Enter("DeleteCheckpoint", false); !status.ok()) return status;
  {
    absl::MutexLock lock(&mu_);
    if (std::find(deleted_.begin(), deleted_.end(), request->ref()) != deleted_.end()) {
      return grpc::Status(grpc::NOT_FOUND, "it is gone");
    }
    deleted_.push_back(request->ref());
    *response->mutable_checkpoint() = Served();
  }
  return Enter("DeleteCheckpoint", true);
}

grpc::Status FakeCairnd::SetTag(Context*, const v1::SetTagRequest* request, v1::Checkpoint* response) {
  if (grpc::Status status = Enter("SetTag", false); !status.ok()) return status;
  {
    absl::MutexLock lock(&mu_);
    if (request->has_expected_uid() && tags_[request->tag()] != request->expected_uid()) {
      return grpc::Status(grpc::ABORTED, "the tag points elsewhere");
    }
    tags_[request->tag()] = kUid;
    *response = Served();
  }
  return Enter("SetTag", true);
}

grpc::Status FakeCairnd::DeleteTag(Context*, const v1::DeleteTagRequest* request, v1::DeleteTagResponse*) {
  if (grpc::Status status = Enter("DeleteTag", false); !status.ok()) return status;
  {
    absl::MutexLock lock(&mu_);
    if (tags_.erase(request->tag()) == 0) return grpc::Status(grpc::NOT_FOUND, "no such tag");
  }
  return Enter("DeleteTag", true);
}

grpc::Status FakeCairnd::VerifyCheckpoint(Context*, const v1::VerifyCheckpointRequest*,
                                          grpc::ServerWriter<v1::VerifyCheckpointResponse>* stream) {
  if (grpc::Status status = Enter("VerifyCheckpoint", false); !status.ok()) return status;
  v1::VerifyCheckpointResponse message;
  {
    absl::MutexLock lock(&mu_);
    *message.mutable_checkpoint() = Served();
  }
  message.set_bytes_total(100);
  message.add_problems()->set_path("params/w");
  stream->Write(message);
  if (grpc::Status status = Enter("VerifyCheckpoint", true); !status.ok()) return status;
  message.Clear();
  message.set_bytes_done(100);
  message.set_bytes_total(100);
  message.set_done(true);
  stream->Write(message);
  return grpc::Status::OK;
}

grpc::Status FakeCairnd::GetServerInfo(Context* context, const v1::GetServerInfoRequest*,
                                       v1::GetServerInfoResponse* response) {
  if (grpc::Status status = Enter("GetServerInfo", false); !status.ok()) return status;
  const auto token = context->client_metadata().find("authorization");
  if (token != context->client_metadata().end()) {
    response->set_version(std::string(token->second.data(), token->second.size()));
  }
  return grpc::Status::OK;
}

}  // namespace cairn::client
