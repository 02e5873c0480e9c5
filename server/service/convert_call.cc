#include "server/service/convert_call.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "proto/wire/proto_convert.h"
#include "server/convert/convert_job.h"
#include "server/service/progress_reactor.h"
#include "server/service/row_convert.h"

namespace cairn {
namespace {

using Reactor = ProgressReactor<v1::ConvertResponse>;

ConvertPlace FromProto(const v1::ConvertRequest::Place& place) { return {place.ref(), place.path(), place.format()}; }

absl::StatusOr<ConvertRequest> FromProto(const v1::ConvertRequest& in) {
  ConvertRequest out;
  out.source = FromProto(in.source());
  out.target = FromProto(in.target());
  out.select.assign(in.select().begin(), in.select().end());
  if (in.float_dtype() != v1::DTYPE_UNSPECIFIED) {
    out.float_dtype = DtypeFromNumber(static_cast<uint32_t>(in.float_dtype()));
    if (!out.float_dtype.has_value() || !IsFloat(*out.float_dtype)) {
      return absl::InvalidArgumentError(absl::StrCat("float_dtype ", in.float_dtype(), " is no float dtype"));
    }
  }
  out.weights_only = in.weights_only();
  out.max_shard_bytes = in.max_shard_bytes();
  if (!in.separator().empty()) out.separator = in.separator();
  out.drop_unsupported = in.drop_unsupported();
  out.overwrite = in.overwrite();
  out.session_key = in.session_key();
  out.metadata.insert(in.metadata().begin(), in.metadata().end());
  out.created_by = in.created_by();
  return out;
}

std::string ToString(const v1::ConvertRequest::Place& place) { return place.has_ref() ? place.ref() : place.path(); }

v1::ConvertResponse ToResponse(const ConvertProgress& progress) {
  v1::ConvertResponse response;
  response.set_bytes_done(progress.bytes_done);
  response.set_bytes_total(progress.bytes_total);
  response.set_bytes_skipped(progress.bytes_skipped);
  response.set_entries_done(progress.entries_done);
  response.set_entries_total(progress.entries_total);
  return response;
}

}  // namespace

grpc::ServerWriteReactor<v1::ConvertResponse>* StartConvert(grpc::CallbackServerContext* context,
                                                            const v1::ConvertRequest& request, ServiceContext& service) {
  auto work = [&service, request](RpcScope& scope, const Cancellation& cancellation, const Reactor::Report& report) -> absl::Status {
    scope.set_ref(absl::StrCat(ToString(request.source()), " -> ", ToString(request.target())));
    CAIRN_ASSIGN_OR_RETURN(const ConvertRequest job, FromProto(request));
    static const AllowedRoots* const no_roots = new AllowedRoots;
    const AllowedRoots& roots = service.file_roots == nullptr ? *no_roots : *service.file_roots;
    CAIRN_ASSIGN_OR_RETURN(const ConvertResult result,
                           RunConvertJob(service.engine, roots, service.budget, job, cancellation,
                                         [&](const ConvertProgress& progress) { report(ToResponse(progress)); }));
    scope.add_bytes(result.progress.bytes_done);
    v1::ConvertResponse done = ToResponse(result.progress);
    done.set_done(true);
    done.set_source_format(result.source_format);
    done.set_target_format(result.target_format);
    if (result.checkpoint.has_value()) ToProto(*result.checkpoint, done.mutable_checkpoint());
    report(std::move(done));
    return absl::OkStatus();
  };
  auto merge = [](v1::ConvertResponse&, const v1::ConvertResponse&) {};
  return Reactor::Start("Convert", context, service, std::move(work), std::move(merge));
}

}  // namespace cairn
