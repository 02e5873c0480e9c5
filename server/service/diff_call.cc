#include "server/service/diff_call.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "proto/wire/proto_convert.h"
#include "server/convert/diff_job.h"
#include "server/convert/recover_job.h"
#include "server/service/progress_reactor.h"
#include "server/service/row_convert.h"

namespace cairn {
namespace {

using DiffReactor = ProgressReactor<v1::DiffResponse>;
using RecoverReactor = ProgressReactor<v1::RecoverResponse>;

constexpr size_t kBatchBytes = 256u << 10;  // Of one message of a report.
constexpr size_t kMaxEntryBytes = 3u << 20;  // A client takes messages of 4 MiB.

ConvertPlace PlaceFromProto(const v1::ConvertRequest::Place& place) {
  ConvertPlace out;
  out.ref = place.ref();
  out.path = place.path();
  out.format = place.format();
  return out;
}

absl::StatusOr<std::optional<Dtype>> FloatDtype(v1::Dtype proto) {
  if (proto == v1::DTYPE_UNSPECIFIED) return std::optional<Dtype>();
  const std::optional<Dtype> dtype = DtypeFromNumber(static_cast<uint32_t>(proto));
  if (dtype.has_value() && IsFloat(*dtype)) return dtype;
  return absl::InvalidArgumentError(absl::StrCat("float_dtype ", static_cast<int>(proto), " is no float dtype"));
}

// DiffRequest and RecoverRequest have these fields alike.
template <class Request>
OutputRequest OutputFromProto(const Request& in) {
  OutputRequest out;
  out.place = PlaceFromProto(in.output());
  out.overwrite = in.overwrite();
  out.session_key = in.session_key();
  out.metadata.insert(in.metadata().begin(), in.metadata().end());
  out.created_by = in.created_by();
  return out;
}

absl::StatusOr<DiffRequest> FromProto(const v1::DiffRequest& in) {
  DiffRequest out;
  out.base = PlaceFromProto(in.base());
  out.target = PlaceFromProto(in.target());
  out.select.assign(in.select().begin(), in.select().end());
  switch (in.mode()) {
    case v1::DiffRequest::MODE_UNSPECIFIED:
    case v1::DiffRequest::MODE_REPORT:
      out.mode = DiffMode::kReport;
      break;
    case v1::DiffRequest::MODE_EXACT:
      out.mode = DiffMode::kExact;
      break;
    case v1::DiffRequest::MODE_ARITHMETIC:
      out.mode = DiffMode::kArithmetic;
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat("mode ", static_cast<int>(in.mode()), " is not known to this daemon"));
  }
  out.tolerance = {in.absolute_tolerance(), in.relative_tolerance()};
  out.output = OutputFromProto(in);
  CAIRN_ASSIGN_OR_RETURN(out.float_dtype, FloatDtype(in.float_dtype()));
  return out;
}

v1::DiffResponse::Difference ToProto(EntryDifference difference) {
  switch (difference) {
    case EntryDifference::kSameLayout:
    case EntryDifference::kEqual:
      return v1::DiffResponse::DIFFERENCE_EQUAL;
    case EntryDifference::kChanged:
      return v1::DiffResponse::DIFFERENCE_CHANGED;
    case EntryDifference::kValueChanged:
      return v1::DiffResponse::DIFFERENCE_VALUE_CHANGED;
    case EntryDifference::kAdded:
      return v1::DiffResponse::DIFFERENCE_ADDED;
    case EntryDifference::kRemoved:
      return v1::DiffResponse::DIFFERENCE_REMOVED;
    case EntryDifference::kReshaped:
      return v1::DiffResponse::DIFFERENCE_RESHAPED;
    case EntryDifference::kRecast:
      return v1::DiffResponse::DIFFERENCE_RECAST;
  }
  return v1::DiffResponse::DIFFERENCE_UNSPECIFIED;
}

void ToProto(const TensorSummary& from, v1::DiffResponse::Statistics* to) {
  to->set_has_values(from.has_values);
  to->set_elements(from.elements);
  to->set_changed(from.changed);
  to->set_outside(from.outside);
  to->set_base_nan(from.base_nan);
  to->set_base_infinite(from.base_infinite);
  to->set_target_nan(from.target_nan);
  to->set_target_infinite(from.target_infinite);
  to->set_max_absolute(from.max_absolute);
  to->set_max_relative(from.max_relative);
  to->set_mean_absolute(from.mean_absolute);
  to->set_mean_relative(from.mean_relative);
  to->set_norm(from.norm);
  to->set_base_norm(from.base_norm);
  to->set_cosine(from.cosine);
}

// Entries of a report, many to a message.
class ReportSender {
 public:
  ReportSender(const Tolerance& tolerance, const DiffReactor::Report& report)
      : with_tolerance_(tolerance.absolute > 0 || tolerance.relative > 0), report_(report) {}

  absl::Status Add(const EntryComparison& entry) {
    v1::DiffResponse::EntryDiff* to = batch_.add_entries();
    to->set_difference(ToProto(entry.difference));
    if (entry.base != nullptr) wire::ToProto(*entry.base, to->mutable_base());
    if (entry.target != nullptr) wire::ToProto(*entry.target, to->mutable_target());
    if (entry.statistics.has_value()) ToProto(*entry.statistics, to->mutable_statistics());
    to->set_close(entry.close);
    different_ |= entry.difference != EntryDifference::kEqual && !(entry.close && with_tolerance_);
    const size_t bytes = to->ByteSizeLong();
    if (bytes > kMaxEntryBytes) {
      return absl::ResourceExhaustedError(absl::StrCat("\"", entry.entry().path.ToString(), "\": ", bytes,
                                                       " bytes in a report, expected at most ", kMaxEntryBytes,
                                                       "; leave it out with select, or compare where the caller is"));
    }
    bytes_ += bytes;
    if (bytes_ < kBatchBytes) return absl::OkStatus();
    bytes_ = 0;
    return report_.Send(std::exchange(batch_, {}));
  }

  // With what remains.
  absl::Status Finish(const DiffResult& result) {
    v1::DiffResponse& last = batch_;
    last.set_bytes_done(result.bytes);
    last.set_bytes_total(result.bytes);
    last.set_done(true);
    last.set_different(different_);
    last.set_target_bytes(result.target_bytes);
    last.set_diff_bytes(result.diff_bytes);
    last.set_base_digest(result.base_digest);
    last.set_target_digest(result.target_digest);
    last.set_elements(result.elements);
    last.set_inexact_elements(result.inexact);
    if (result.checkpoint.has_value()) cairn::ToProto(*result.checkpoint, last.mutable_checkpoint());
    return report_.Send(std::move(last));
  }

 private:
  const bool with_tolerance_;
  const DiffReactor::Report& report_;
  v1::DiffResponse batch_;
  size_t bytes_ = 0;
  bool different_ = false;
};

v1::RecoverResponse ToResponse(const ConvertProgress& progress) {
  v1::RecoverResponse response;
  response.set_bytes_done(progress.bytes_done);
  response.set_bytes_total(progress.bytes_total);
  return response;
}

std::string ToString(const v1::ConvertRequest::Place& place) { return place.has_ref() ? place.ref() : ShownPlace(place.path()); }

const AllowedRoots& RootsOf(const ServiceContext& service) {
  static const AllowedRoots& none = *new AllowedRoots;
  return service.file_roots == nullptr ? none : *service.file_roots;
}

}  // namespace

grpc::ServerWriteReactor<v1::DiffResponse>* StartDiff(grpc::CallbackServerContext* context, const v1::DiffRequest& request,
                                                      ServiceContext& service) {
  auto work = [&service, request](RpcScope& scope, const Cancellation& cancellation, const DiffReactor::Report& report) -> absl::Status {
    scope.set_ref(absl::StrCat(ToString(request.base()), " -> ", ToString(request.target())));
    CAIRN_ASSIGN_OR_RETURN(DiffRequest job, FromProto(request));
    job.scratch_folder = service.scratch_folder;
    ReportSender sender(job.tolerance, report);
    DiffCallbacks callbacks;
    callbacks.entry = [&](const EntryComparison& entry) { return sender.Add(entry); };
    callbacks.progress = [&](uint64_t done, uint64_t total) {
      v1::DiffResponse response;
      response.set_bytes_done(done);
      response.set_bytes_total(total);
      report(std::move(response));
    };
    CAIRN_ASSIGN_OR_RETURN(const DiffResult result,
                           RunDiffJob(service.engine, RootsOf(service), {service.budget, service.index_budget}, job, cancellation, callbacks));
    scope.add_bytes(result.bytes);
    return sender.Finish(result);
  };
  // Entries that wait stay in front of the progress that takes their message's place.
  auto merge = [](v1::DiffResponse& newer, const v1::DiffResponse& older) { *newer.mutable_entries() = older.entries(); };
  return DiffReactor::Start("Diff", context, service, std::move(work), std::move(merge));
}

grpc::ServerWriteReactor<v1::RecoverResponse>* StartRecover(grpc::CallbackServerContext* context, const v1::RecoverRequest& request,
                                                            ServiceContext& service) {
  auto work = [&service, request](RpcScope& scope, const Cancellation& cancellation, const RecoverReactor::Report& report) -> absl::Status {
    scope.set_ref(absl::StrCat(ToString(request.base()), " -> ", ToString(request.output())));
    RecoverRequest job;
    job.base = PlaceFromProto(request.base());
    job.diff = PlaceFromProto(request.diff());
    job.output = OutputFromProto(request);
    job.arithmetic = request.arithmetic();
    CAIRN_ASSIGN_OR_RETURN(job.float_dtype, FloatDtype(request.float_dtype()));
    CAIRN_ASSIGN_OR_RETURN(const RecoverResult result,
                           RunRecoverJob(service.engine, RootsOf(service), {service.budget, service.index_budget}, job, cancellation,
                                         [&](const ConvertProgress& progress) { report(ToResponse(progress)); }));
    scope.add_bytes(result.progress.bytes_done);
    v1::RecoverResponse last = ToResponse(result.progress);
    last.set_done(true);
    last.set_target_digest(result.target_digest);
    if (result.checkpoint.has_value()) ToProto(*result.checkpoint, last.mutable_checkpoint());
    report(std::move(last));
    return absl::OkStatus();
  };
  auto merge = [](v1::RecoverResponse&, const v1::RecoverResponse&) {};
  return RecoverReactor::Start("Recover", context, service, std::move(work), std::move(merge));
}

}  // namespace cairn
