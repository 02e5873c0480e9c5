#include "server/service/convert_call.h"

#include <algorithm>
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

constexpr size_t kNamesInResponse = 10'000;  // A message has its limits.

ConvertPlace PlaceFromProto(const v1::ConvertRequest::Place& place) {
  ConvertPlace out;
  out.ref = place.ref();
  out.path = place.path();
  out.format = place.format();
  return out;
}

MapLibrary::File FileFromProto(const v1::ConvertRequest::TextFile& file) { return {file.name(), file.text()}; }

std::string ToString(const v1::ConvertRequest::Place& place) { return place.has_ref() ? place.ref() : ShownPlace(place.path()); }

}  // namespace

absl::StatusOr<ConvertRequest> ConvertRequestFromProto(const v1::ConvertRequest& in) {
  ConvertRequest out;
  out.source = PlaceFromProto(in.source());
  out.target = PlaceFromProto(in.target());
  RecipeRequest& recipe = out.recipe;
  recipe.select.assign(in.select().begin(), in.select().end());
  if (in.float_dtype() != v1::DTYPE_UNSPECIFIED) {
    recipe.float_dtype = DtypeFromNumber(static_cast<uint32_t>(in.float_dtype()));
    if (!recipe.float_dtype.has_value() || !IsFloat(*recipe.float_dtype)) {
      return absl::InvalidArgumentError(absl::StrCat("float_dtype ", in.float_dtype(), " is no float dtype"));
    }
  }
  recipe.exclude.assign(in.exclude().begin(), in.exclude().end());
  recipe.weights_only = in.weights_only();
  recipe.root = in.root();
  recipe.strip_prefix = in.strip_prefix();
  recipe.prefix = in.prefix();
  if (in.has_renames()) recipe.renames = FileFromProto(in.renames());
  if (!in.map().empty()) {
    recipe.map.emplace();
    recipe.map->map = in.map();
    for (const v1::ConvertRequest::TextFile& file : in.map_files()) recipe.map->files.push_back(FileFromProto(file));
    for (const v1::ConvertRequest::TextFile& file : in.map_configs()) recipe.map->configs.push_back(FileFromProto(file));
    for (const auto& [symbol, number] : in.map_symbols()) {
      if (number < 0) return absl::InvalidArgumentError(absl::StrCat("map_symbols: expected \"", symbol, "\" to be at least 0, found ", number));
      recipe.map->given[symbol] = number;
    }
  } else if (in.map_files_size() + in.map_configs_size() + static_cast<int>(in.map_symbols_size()) > 0) {
    return absl::InvalidArgumentError("map_files, map_configs and map_symbols go with a map, which is empty");
  }
  out.strict = in.strict();
  out.max_shard_bytes = in.max_shard_bytes();
  if (!in.separator().empty()) out.separator = in.separator();
  out.drop_unsupported = in.drop_unsupported();
  out.overwrite = in.overwrite();
  out.parts = in.parts();
  out.resume = in.resume();
  out.assets_beside = in.assets_beside();
  out.session_key = in.session_key();
  out.metadata.insert(in.metadata().begin(), in.metadata().end());
  out.created_by = in.created_by();
  return out;
}

v1::ConvertResponse ToResponse(const ConvertProgress& progress) {
  v1::ConvertResponse response;
  response.set_bytes_done(progress.bytes_done);
  response.set_bytes_total(progress.bytes_total);
  response.set_bytes_skipped(progress.bytes_skipped);
  response.set_entries_done(progress.entries_done);
  response.set_entries_total(progress.entries_total);
  return response;
}

v1::ConvertResponse LastResponse(const ConvertResult& result) {
  v1::ConvertResponse done = ToResponse(result.progress);
  done.set_done(true);
  done.set_source_format(result.source_format);
  done.set_target_format(result.target_format);
  if (result.checkpoint.has_value()) ToProto(*result.checkpoint, done.mutable_checkpoint());
  done.set_weights(result.weights);
  done.set_map(result.map);
  const size_t dropped = std::min(result.map_dropped.size(), kNamesInResponse);
  done.mutable_map_dropped()->Add(result.map_dropped.begin(), result.map_dropped.begin() + static_cast<ptrdiff_t>(dropped));
  done.mutable_left_out()->Add(result.left_out.begin(), result.left_out.end());
  done.mutable_notes()->Add(result.notes.begin(), result.notes.end());
  return done;
}

grpc::ServerWriteReactor<v1::ConvertResponse>* StartConvert(grpc::CallbackServerContext* context,
                                                            const v1::ConvertRequest& request, ServiceContext& service) {
  auto work = [&service, request](RpcScope& scope, const Cancellation& cancellation, const Reactor::Report& report) -> absl::Status {
    scope.set_ref(absl::StrCat(ToString(request.source()), " -> ", ToString(request.target())));
    CAIRN_ASSIGN_OR_RETURN(const ConvertRequest job, ConvertRequestFromProto(request));
    static const AllowedRoots* const no_roots = new AllowedRoots;
    const AllowedRoots& roots = service.file_roots == nullptr ? *no_roots : *service.file_roots;
    CAIRN_ASSIGN_OR_RETURN(const ConvertResult result,
                           RunConvertJob(service.engine, roots, {service.budget, service.index_budget}, job, cancellation,
                                         [&](const ConvertProgress& progress) { report(ToResponse(progress)); }, &service.conversions));
    scope.add_bytes(result.progress.bytes_done);
    report(LastResponse(result));
    return absl::OkStatus();
  };
  auto merge = [](v1::ConvertResponse&, const v1::ConvertResponse&) {};
  return Reactor::Start("Convert", context, service, std::move(work), std::move(merge));
}

}  // namespace cairn
