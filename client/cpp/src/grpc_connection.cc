#include <memory>
#include <string>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cairn/connection.h"
#include "client/cpp/src/channel.h"
#include "client/cpp/src/check_text.h"
#include "client/cpp/src/export_call.h"
#include "client/cpp/src/from_proto.h"
#include "client/cpp/src/get_stream.h"
#include "client/cpp/src/import_call.h"
#include "client/cpp/src/put_stream.h"
#include "client/cpp/src/retry.h"
#include "client/cpp/src/stub.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

constexpr uint64_t kMaxProgressBytes = 4 << 20;

std::string RandomKey() {
  absl::BitGen random;
  return absl::StrFormat("%016x%016x", absl::Uniform<uint64_t>(random), absl::Uniform<uint64_t>(random));
}

void SetPlace(const ConvertPlace& place, v1::ConvertRequest::Place* out) {
  if (!place.ref.empty()) out->set_ref(place.ref);
  // The daemon refuses both at once; in a message there is room for one.
  if (!place.path.empty() && place.ref.empty()) out->set_path(place.path);
  out->set_format(place.format);
}

v1::ConvertRequest RequestOf(const ConvertSpec& spec) {
  v1::ConvertRequest request;
  SetPlace(spec.source, request.mutable_source());
  SetPlace(spec.target, request.mutable_target());
  request.mutable_select()->Assign(spec.select.begin(), spec.select.end());
  if (spec.float_dtype.has_value()) request.set_float_dtype(static_cast<v1::Dtype>(*spec.float_dtype));
  request.set_weights_only(spec.weights_only);
  const auto set_file = [](const ConvertSpec::TextFile& file, v1::ConvertRequest::TextFile* out) {
    out->set_name(file.name);
    out->set_text(file.text);
  };
  request.mutable_exclude()->Assign(spec.exclude.begin(), spec.exclude.end());
  request.set_root(spec.root);
  request.set_strip_prefix(spec.strip_prefix);
  request.set_prefix(spec.prefix);
  if (spec.renames.has_value()) set_file(*spec.renames, request.mutable_renames());
  request.set_map(spec.map);
  for (const ConvertSpec::TextFile& file : spec.map_files) set_file(file, request.add_map_files());
  for (const ConvertSpec::TextFile& file : spec.map_configs) set_file(file, request.add_map_configs());
  request.mutable_map_symbols()->insert(spec.map_symbols.begin(), spec.map_symbols.end());
  request.set_strict(spec.strict);
  request.set_max_shard_bytes(spec.max_shard_bytes);
  request.set_separator(spec.separator);
  request.set_drop_unsupported(spec.drop_unsupported);
  request.set_overwrite(spec.overwrite);
  request.set_parts(spec.parts);
  request.set_resume(spec.resume);
  request.set_assets_beside(spec.assets_beside);
  // Made once, so that a repetition of the call goes on with the same save.
  request.set_session_key(spec.session_key.empty() ? RandomKey() : spec.session_key);
  request.mutable_metadata()->insert(spec.metadata.begin(), spec.metadata.end());
  request.set_created_by(spec.created_by);
  return request;
}

// DiffSpec and RecoverSpec have these fields alike, and so have their requests.
template <class Spec, class Request>
void SetOutput(const Spec& spec, Request& request) {
  SetPlace(spec.output, request.mutable_output());
  if (spec.float_dtype.has_value()) request.set_float_dtype(static_cast<v1::Dtype>(*spec.float_dtype));
  request.set_overwrite(spec.overwrite);
  // Made once, as for conversions.
  request.set_session_key(spec.session_key.empty() ? RandomKey() : spec.session_key);
  request.mutable_metadata()->insert(spec.metadata.begin(), spec.metadata.end());
  request.set_created_by(spec.created_by);
}

v1::DiffRequest RequestOf(const DiffSpec& spec) {
  v1::DiffRequest request;
  SetPlace(spec.base, request.mutable_base());
  SetPlace(spec.target, request.mutable_target());
  request.mutable_select()->Assign(spec.select.begin(), spec.select.end());
  if (spec.mode == DiffMode::kReport) {
    request.set_mode(v1::DiffRequest::MODE_REPORT);
    request.set_absolute_tolerance(spec.absolute_tolerance);
    request.set_relative_tolerance(spec.relative_tolerance);
    return request;
  }
  request.set_mode(spec.mode == DiffMode::kExact ? v1::DiffRequest::MODE_EXACT : v1::DiffRequest::MODE_ARITHMETIC);
  SetOutput(spec, request);
  return request;
}

v1::RecoverRequest RequestOf(const RecoverSpec& spec) {
  v1::RecoverRequest request;
  SetPlace(spec.base, request.mutable_base());
  SetPlace(spec.diff, request.mutable_diff());
  request.set_arithmetic(spec.arithmetic);
  SetOutput(spec, request);
  return request;
}

class GrpcConnection final : public Connection {
 public:
  GrpcConnection(std::shared_ptr<grpc::Channel> channel, std::string target, const Options& options)
      : target_(std::move(target)), options_(options), stub_(std::make_shared<Stub>(std::move(channel), options)) {}

  absl::StatusOr<OpenedSave> BeginSave(const SaveSpec& spec) override {
    v1::BeginSaveRequest request;
    request.set_name(spec.name);
    request.set_step(spec.step);
    // Made once, so that a repetition of the call opens no second session.
    request.set_session_key(spec.session_key.empty() ? RandomKey() : spec.session_key);
    request.set_writers(spec.writers);
    request.set_overwrite(spec.overwrite);
    request.set_auto_commit(spec.auto_commit);
    request.mutable_metadata()->insert(spec.metadata.begin(), spec.metadata.end());
    request.set_parent(spec.parent);
    request.set_parent_is_previous(spec.parent_is_previous);
    request.set_created_by(spec.created_by);
    if (spec.lease.has_value()) wire::ToProto(*spec.lease, request.mutable_lease());
    CAIRN_ASSIGN_OR_RETURN(const auto answer,
                           Call(&Stub::BeginSave, request, absl::StrCat(spec.name, "@", spec.step)));
    return OpenedSave{FromProto(answer.session()), answer.max_chunk_bytes(), answer.extent_bytes(),
                      answer.max_small_entries(), answer.parent_uid(), answer.delta_chunks()};
  }

  absl::StatusOr<std::unique_ptr<PutStream>> OpenPut(const PutSpec& spec) override {
    return OpenPutStream(stub_, options_, target_, spec);
  }

  absl::StatusOr<SaveStatus> GetSaveStatus(const SaveStatusSpec& spec) override {
    v1::GetSaveStatusRequest request;
    request.set_session_id(spec.session_id);
    if (spec.writer.has_value()) request.set_writer(*spec.writer);
    request.set_page_size(spec.page_size);
    request.set_page_token(spec.page_token);
    request.set_summary_only(spec.summary_only);
    CAIRN_ASSIGN_OR_RETURN(const auto answer, Call(&Stub::GetSaveStatus, request, Session(spec.session_id)));
    return FromProto(answer);
  }

  absl::StatusOr<SaveSession> FinishWriter(const std::string& session_id, uint32_t writer) override {
    v1::FinishWriterRequest request;
    request.set_session_id(session_id);
    request.set_writer(writer);
    CAIRN_ASSIGN_OR_RETURN(const auto answer,
                           Call(&Stub::FinishWriter, request, Session(session_id), options_.long_call_timeout));
    return FromProto(answer.session());
  }

  absl::StatusOr<CheckpointInfo> CommitSave(const std::string& session_id) override {
    v1::CommitSaveRequest request;
    request.set_session_id(session_id);
    CAIRN_ASSIGN_OR_RETURN(const auto answer,
                           Call(&Stub::CommitSave, request, Session(session_id), options_.long_call_timeout));
    return FromProto(answer.checkpoint());
  }

  absl::Status AbortSave(const std::string& session_id) override {
    v1::AbortSaveRequest request;
    request.set_session_id(session_id);
    return Call(&Stub::AbortSave, request, Session(session_id)).status();
  }

  absl::StatusOr<std::unique_ptr<GetStream>> OpenGet(const GetSpec& spec) override {
    return OpenGetStream(stub_, options_, target_, spec);
  }

  absl::StatusOr<CheckpointInfo> GetCheckpoint(const std::string& ref) override {
    v1::GetCheckpointRequest request;
    request.set_ref(ref);
    CAIRN_ASSIGN_OR_RETURN(const v1::Checkpoint answer, Call(&Stub::GetCheckpoint, request, ref));
    return FromProto(answer);
  }

  absl::StatusOr<CheckpointPage> ListCheckpoints(const ListCheckpointsSpec& spec) override {
    v1::ListCheckpointsRequest request;
    request.set_name(spec.name);
    request.set_name_prefix(spec.name_prefix);
    request.mutable_metadata()->insert(spec.metadata.begin(), spec.metadata.end());
    request.set_page_size(spec.page_size);
    request.set_page_token(spec.page_token);
    CAIRN_ASSIGN_OR_RETURN(const auto answer, Call(&Stub::ListCheckpoints, request, spec.name));
    CheckpointPage page;
    for (const v1::Checkpoint& checkpoint : answer.checkpoints()) page.checkpoints.push_back(FromProto(checkpoint));
    page.next_page_token = answer.next_page_token();
    return page;
  }

  absl::StatusOr<EntryPage> ListEntries(const ListEntriesSpec& spec) override {
    v1::ListEntriesRequest request;
    request.set_ref(spec.ref);
    for (const std::string& pattern : spec.select) request.add_select(pattern);
    request.set_page_size(spec.page_size);
    request.set_page_token(spec.page_token);
    request.set_with_shards(spec.with_shards);
    CAIRN_ASSIGN_OR_RETURN(const auto answer, Call(&Stub::ListEntries, request, spec.ref));
    return FromProto(answer);
  }

  absl::StatusOr<std::optional<CheckpointInfo>> DeleteCheckpoint(const DeleteSpec& spec) override {
    const auto missing = [&](const absl::Status& status) { return spec.allow_missing && absl::IsNotFound(status); };
    // `name` means another checkpoint once this one is gone: what is deleted is named for good before.
    absl::StatusOr<CheckpointInfo> found = GetCheckpoint(spec.ref);
    if (missing(found.status())) return std::optional<CheckpointInfo>();
    if (!found.ok()) return found.status();
    v1::DeleteCheckpointRequest request;
    request.set_ref(found->UidRef());
    absl::StatusOr<v1::DeleteCheckpointResponse> answer = NewRetry().Run([&](bool repeated) {
      auto result = stub_->DeleteCheckpoint(request, Limits(options_.long_call_timeout));
      // The first attempt came through, and only its answer was lost.
      if (repeated && absl::IsNotFound(result.status())) result = v1::DeleteCheckpointResponse();
      return result;
    });
    if (missing(answer.status())) return std::optional<CheckpointInfo>();
    if (!answer.ok()) return Named(answer.status(), spec.ref);
    return std::optional<CheckpointInfo>(*std::move(found));
  }

  absl::StatusOr<CheckpointInfo> SetTag(const SetTagSpec& spec) override {
    v1::SetTagRequest request;
    request.set_ref(spec.ref);
    request.set_tag(spec.tag);
    if (spec.expected_uid.has_value()) request.set_expected_uid(*spec.expected_uid);
    bool repetition_refused = false;
    absl::StatusOr<v1::Checkpoint> answer = NewRetry().Run([&](bool repeated) {
      auto result = stub_->SetTag(request, Limits(options_.call_timeout));
      repetition_refused = repeated && absl::IsAborted(result.status());
      return result;
    });
    if (repetition_refused) {
      // "The tag has moved" may mean: by the first attempt, whose answer was lost.
      CAIRN_ASSIGN_OR_RETURN(const CheckpointInfo wanted, GetCheckpoint(spec.ref));
      absl::StatusOr<CheckpointInfo> tagged = GetCheckpoint(absl::StrCat(wanted.name, "@", spec.tag));
      if (tagged.ok() && tagged->uid == wanted.uid) return tagged;
    }
    if (!answer.ok()) return Named(answer.status(), spec.ref);
    return FromProto(*answer);
  }

  absl::Status DeleteTag(const DeleteTagSpec& spec) override {
    v1::DeleteTagRequest request;
    request.set_name(spec.name);
    request.set_tag(spec.tag);
    request.set_allow_missing(spec.allow_missing);
    absl::StatusOr<v1::DeleteTagResponse> answer = NewRetry().Run([&](bool repeated) {
      auto result = stub_->DeleteTag(request, Limits(options_.call_timeout));
      if (repeated && absl::IsNotFound(result.status())) result = v1::DeleteTagResponse();
      return result;
    });
    return Named(answer.status(), absl::StrCat(spec.name, "@", spec.tag));
  }

  absl::StatusOr<VerifyResult> Verify(const std::string& ref, const VerifyCallback& progress) override {
    v1::VerifyCheckpointRequest request;
    request.set_ref(ref);
    VerifyResult result;
    absl::Status status = NewRetry().Run([&](bool) {
      result = VerifyResult();
      return ReadProgress<v1::VerifyCheckpointResponse>(
          *stub_->VerifyCheckpoint(request, Cancelled()), [&](const v1::VerifyCheckpointResponse& answer) {
            if (answer.has_checkpoint()) result.checkpoint = FromProto(answer.checkpoint());
            result.bytes = answer.bytes_done();
            for (const auto& problem : answer.problems()) {
              result.problems.push_back({problem.path(), std::nullopt, problem.object(), problem.message()});
              if (problem.has_box()) result.problems.back().box = BoxFromProto(problem.box());
            }
            if (progress != nullptr) progress({answer.bytes_done(), answer.bytes_total()});
          });
    });
    if (!status.ok()) return Named(status, ref);
    return result;
  }

  absl::StatusOr<ConversionResult> Convert(const ConvertSpec& spec, const ConvertCallback& progress) override {
    const v1::ConvertRequest request = RequestOf(spec);
    CAIRN_RETURN_IF_ERROR(CheckText(request));
    ConversionResult result;
    const absl::Status status = NewRetry().Run([&](bool) {
      result = ConversionResult();
      return ReadProgress<v1::ConvertResponse>(*stub_->Convert(request, Cancelled()), [&](const v1::ConvertResponse& answer) {
        result = FromProto(answer);
        if (progress != nullptr) progress(result.progress);
      });
    });
    if (!status.ok()) return Named(status, spec.target.ref.empty() ? spec.target.path : spec.target.ref);
    return result;
  }

  absl::StatusOr<ConversionResult> Export(const ConvertSpec& spec, ExportTarget& files, const ConvertCallback& progress) override {
    v1::ExportRequest request;
    *request.mutable_conversion() = RequestOf(spec);
    request.mutable_conversion()->mutable_target()->set_path(files.name());
    for (std::string& name : files.existing_files()) request.add_existing_files(std::move(name));
    CAIRN_RETURN_IF_ERROR(CheckText(request));
    Retry retry = NewRetry();
    ExportCall call(*stub_, options_, std::move(request), files, progress);
    const absl::Status status = retry.Run([&](bool) { return call.Attempt(Cancelled(), retry); });
    if (!status.ok()) return Named(status, spec.source.ref);
    return call.result();
  }

  absl::StatusOr<ConversionResult> Import(const ConvertSpec& spec, ImportSource& files, const ConvertCallback& progress) override {
    v1::ImportRequest open;
    *open.mutable_open()->mutable_conversion() = RequestOf(spec);
    open.mutable_open()->mutable_conversion()->mutable_source()->set_path(files.name());
    for (const ImportFile& file : files.files()) {
      v1::ImportRequest::File* listed = open.mutable_open()->add_files();
      listed->set_name(file.name);
      listed->set_size(file.size);
      listed->set_beside(file.beside);
    }
    CAIRN_RETURN_IF_ERROR(CheckText(open));
    Retry retry = NewRetry();
    ImportCall call(*stub_, options_, std::move(open), files, progress);
    const absl::Status status = retry.Run([&](bool) { return call.Attempt(Cancelled(), retry); });
    if (!status.ok()) return Named(status, spec.target.ref);
    return call.result();
  }

  absl::StatusOr<DiffResult> Diff(const DiffSpec& spec, const DiffCallback& progress) override {
    const v1::DiffRequest request = RequestOf(spec);
    CAIRN_RETURN_IF_ERROR(CheckText(request));
    DiffResult result;
    absl::Status wrong;
    CAIRN_RETURN_IF_ERROR(NewRetry().Run([&](bool) -> absl::Status {
      result = DiffResult();
      wrong = absl::OkStatus();
      const absl::Status end = ReadProgress<v1::DiffResponse>(*stub_->Diff(request, Cancelled()), [&](const v1::DiffResponse& answer) {
        for (const v1::DiffResponse::EntryDiff& entry : answer.entries()) {
          absl::StatusOr<EntryDiff> read = FromProto(entry);
          wrong.Update(read.status());
          if (read.ok()) result.entries.push_back(*std::move(read));
        }
        if (progress != nullptr) progress({answer.bytes_done(), answer.bytes_total()});
        if (answer.done()) TakeEnd(answer, result);
      });
      return end.ok() ? wrong : end;
    }));
    return result;
  }

  absl::StatusOr<RecoverResult> Recover(const RecoverSpec& spec, const DiffCallback& progress) override {
    const v1::RecoverRequest request = RequestOf(spec);
    CAIRN_RETURN_IF_ERROR(CheckText(request));
    RecoverResult result;
    CAIRN_RETURN_IF_ERROR(NewRetry().Run([&](bool) {
      result = RecoverResult();
      return ReadProgress<v1::RecoverResponse>(*stub_->Recover(request, Cancelled()), [&](const v1::RecoverResponse& answer) {
        result.bytes = answer.bytes_done();
        result.target_digest = answer.target_digest();
        if (answer.has_checkpoint()) result.checkpoint = FromProto(answer.checkpoint());
        if (progress != nullptr) progress({answer.bytes_done(), answer.bytes_total()});
      });
    }));
    return result;
  }

  absl::StatusOr<GarbageReport> CollectGarbage(bool dry_run, const GarbageCallback& progress) override {
    v1::CollectGarbageRequest request;
    request.set_dry_run(dry_run);
    GarbageReport report;
    CAIRN_RETURN_IF_ERROR(NewRetry().Run([&](bool) {
      return ReadProgress<v1::CollectGarbageResponse>(
          *stub_->CollectGarbage(request, Cancelled()), [&](const v1::CollectGarbageResponse& answer) {
            report = {answer.purged_checkpoints(), answer.expired_sessions(), answer.deleted_objects(),
                      answer.deleted_bytes()};
            if (progress != nullptr) progress(report);
          });
    }));
    return report;
  }

  absl::StatusOr<ServerInfo> GetServerInfo() override {
    CAIRN_ASSIGN_OR_RETURN(const auto answer, Call(&Stub::GetServerInfo, v1::GetServerInfoRequest(), target_));
    return FromProto(answer);
  }

 private:
  static std::string Session(const std::string& session_id) { return absl::StrCat("save session ", session_id); }

  CancelCheck Cancelled() const { return CancelCheckOf(options_); }
  CallLimits Limits(absl::Duration timeout) const { return {timeout, Cancelled()}; }
  Retry NewRetry() const {
    return Retry(options_, target_, Cancelled(), FindTlsCause(options_, target_, Cancelled()));
  }

  // A unary call, as often as it takes; `what` names what it is about.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(absl::StatusOr<Response> (Stub::*method)(const Request&, const CallLimits&),
                                const Request& request, absl::string_view what) {
    return Call(method, request, what, options_.call_timeout);
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(absl::StatusOr<Response> (Stub::*method)(const Request&, const CallLimits&),
                                const Request& request, absl::string_view what, absl::Duration timeout) {
    absl::StatusOr<Response> answer =
        NewRetry().Run([&](bool) { return (stub_.get()->*method)(request, Limits(timeout)); });
    if (!answer.ok()) return Named(answer.status(), what);
    return answer;
  }

  static void TakeEnd(const v1::DiffResponse& answer, DiffResult& result) {
    result.different = answer.different();
    result.target_bytes = answer.target_bytes();
    result.diff_bytes = answer.diff_bytes();
    result.base_digest = answer.base_digest();
    result.target_digest = answer.target_digest();
    result.elements = answer.elements();
    result.inexact_elements = answer.inexact_elements();
    if (answer.has_checkpoint()) result.checkpoint = FromProto(answer.checkpoint());
  }

  // Reads a stream of progress to its end, which its last message says.
  template <typename Response, typename F>
  static absl::Status ReadProgress(RawStream& stream, F take) {
    bool done = false;
    while (true) {
      stream.AwaitMessage();
      while (std::optional<grpc::ByteBuffer> message = stream.TakeMessage()) {
        Response answer;
        std::vector<Buffer> none;
        if (absl::Status status = wire::ParseFrame(*message, kMaxProgressBytes, &answer, &none); !status.ok()) {
          return BadAnswer(status);
        }
        done = answer.done();
        take(answer);
      }
      if (const std::optional<absl::Status> end = stream.Ended(); end.has_value()) {
        if (end->ok() && !done) return absl::InternalError("the daemon ended its report before it was done");
        return *end;
      }
    }
  }

  const std::string target_;
  const Options options_;
  const std::shared_ptr<Stub> stub_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Connection>> MakeConnection(absl::string_view target, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, MakeChannel(target, options));
  return std::make_shared<GrpcConnection>(std::move(channel), std::string(target), options);
}

}  // namespace cairn::client
