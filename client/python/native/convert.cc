#include "client/python/native/convert.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/python/native/blocking_call.h"
#include "client/python/native/client.h"
#include "client/python/native/errors.h"
#include "client/python/native/values.h"
#include "common/format/checkpoint_file.h"
#include "client/transfer/remote_reader.h"
#include "client/transfer/remote_writer.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/convert/convert.h"
#include "common/convert/convert_plan.h"
#include "common/convert/planned_reader.h"
#include "common/convert/weights.h"
#include "common/io/file_identity.h"
#include "common/net/url_tree.h"
#include "common/recipe/recipe.h"
#include "common/tensor/ref.h"
#include "nanobind/stl/map.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/pair.h"
#include "nanobind/stl/string.h"
#include "nanobind/stl/vector.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

using TextFile = std::pair<std::string, std::string>;  // Name and content.

struct Result {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t bytes_skipped = 0;
  std::optional<Dtype> float_dtype;
  uint64_t casts = 0;
  std::string source_format;
  std::string target_format;
  std::string path;
  std::optional<client::CheckpointInfo> checkpoint;
  std::string map;
  std::vector<std::string> map_dropped;
  std::vector<std::string> left_out;
  std::vector<std::string> notes;
};

// What convert() was asked for.
struct Request {
  std::string source;
  std::string target;
  std::shared_ptr<client::Client> source_client;  // Null: a file.
  std::shared_ptr<client::Client> target_client;
  RecipeRequest recipe;
  bool strict = false;
  std::optional<std::string> dtype;
  TargetFileOptions target_file;
  bool resume = false;
  client::SaveSpec save;
};

struct OpenedFile {
  FileSpec spec;  // Its format is known.
  std::shared_ptr<const SourceTree> tree;
  std::shared_ptr<const UrlTree> url;  // The tree, if it lies behind a URL.
  std::unique_ptr<CheckpointReader> reader;
};

// Of a blocking call, which lets its thread look at signals while it waits for a network.
UrlOptions OptionsForUrls() {
  UrlOptions options;
  options.interrupted = PollBlockingCall;
  return options;
}

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateFile(const cairn::TargetFile& file) {
  if (!IsUrl(file.path)) return cairn::CreateTarget(file);
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> tree, CreateUrlTree(file.path, OptionsForUrls(), {.overwrite = file.overwrite}));
  return file.format->Create(std::move(tree), file.options);
}

absl::StatusOr<OpenedFile> OpenFile(const std::string& source) {
  OpenedFile file;
  CAIRN_ASSIGN_OR_RETURN(file.spec, ParseFileSpec(source));
  if (IsUrl(file.spec.path)) {
    CAIRN_ASSIGN_OR_RETURN(file.url, OpenUrlTree(file.spec.path, OptionsForUrls()));
    file.tree = file.url;
  } else {
    CAIRN_ASSIGN_OR_RETURN(file.tree, OpenSourceTree(file.spec.path));
  }
  if (file.spec.format == nullptr) {
    const absl::StatusOr<const Format*> format = DetectFormat(*file.tree);
    // A network that fails meanwhile looks like a format that nobody knows.
    if (!format.ok() && file.url != nullptr && !file.url->failure().ok()) return file.url->failure();
    CAIRN_ASSIGN_OR_RETURN(file.spec.format, format);
  }
  absl::StatusOr<std::unique_ptr<CheckpointReader>> reader = file.spec.format->Open(file.tree, {.variant = file.spec.variant});
  // To a reader, bytes that are none of its format are a wrong argument; to the caller they are damage.
  if (absl::IsInvalidArgument(reader.status())) return absl::DataLossError(reader.status().message());
  CAIRN_ASSIGN_OR_RETURN(file.reader, std::move(reader));
  return file;
}

class Conversion {
 public:
  explicit Conversion(Request request) : request_(std::move(request)) {}

  ConvertProgress progress() const {
    if (save_ == nullptr) return progress_;
    ConvertProgress progress = progress_;
    const client::PutProgress put = save_->progress();
    progress.bytes_done = put.durable_bytes;
    progress.bytes_skipped = put.skipped_bytes;
    progress.entries_done = put.durable_entries;
    return progress;
  }

  // In a BlockingCall, which it asks for interruptions.
  absl::StatusOr<Result> Run() {
    CAIRN_RETURN_IF_ERROR(request_.recipe.Check());
    // First of all what says at once that something is in the way.
    std::unique_ptr<CheckpointWriter> writer;
    cairn::TargetFile file;
    if (request_.target_client == nullptr) {
      CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileSpec(request_.target));
      CAIRN_ASSIGN_OR_RETURN(file, cairn::ResolveTarget(spec, request_.target_file));
      if (IsUrl(file.path) && (request_.resume || request_.target_file.assets_beside)) {
        return absl::InvalidArgumentError(absl::StrCat(ShownPlace(file.path), ": resume and assets_beside are not for a target in S3"));
      }
      file.note = [this](const std::string& note) { result_.notes.push_back(note); };
      if (!request_.resume) {
        CAIRN_ASSIGN_OR_RETURN(writer, CreateFile(file));
      }
      result_.target_format = std::string(file.format->name());
      target_holds_values_ = file.format->traits().values;
      result_.path = file.path;
    } else {
      if (request_.resume || request_.target_file.assets_beside || request_.target_file.parts > 0) {
        return absl::InvalidArgumentError("resume, assets_beside and parts are about files that are written, and the target is a ref; a save goes on under its session_key");
      }
      CAIRN_RETURN_IF_ERROR(CheckTargetRef());
    }
    CAIRN_RETURN_IF_ERROR(ChooseDtype(file.format));
    CAIRN_RETURN_IF_ERROR(OpenSource());
    CAIRN_RETURN_IF_ERROR(MakePlan());
    if (request_.resume) {
      CAIRN_ASSIGN_OR_RETURN(const std::string source, SourceIdentity());
      file.resume_identity = cairn::ResumeIdentity(file, {source, request_.recipe.WholeIdentity()});
      CAIRN_ASSIGN_OR_RETURN(writer, CreateFile(file));
    }
    CAIRN_RETURN_IF_ERROR(writer != nullptr ? WriteFile(*writer) : WriteCheckpoint());
    return std::move(result_);
  }

  // Ends what is open, which may wait for the network. In a BlockingCall.
  void Close() {
    progress_ = progress();
    save_.reset();
    planned_.reset();
    recipe_.reset();
    reader_.reset();
    beside_.reset();
    url_.reset();
  }

 private:
  absl::Status CheckTargetRef() {
    CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(request_.target));
    if (!ref.step.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", request_.target, "\": expected NAME@STEP, the name and step to save under"));
    }
    request_.save.name = ref.name;
    request_.save.step = *ref.step;
    return absl::OkStatus();
  }

  absl::Status ChooseDtype(const Format* target) {
    if (!request_.dtype.has_value()) {
      if (target != nullptr) result_.float_dtype = cairn::DefaultFloatDtype(*target);
      return absl::OkStatus();
    }
    if (*request_.dtype == "keep") return absl::OkStatus();
    result_.float_dtype = ParseDtype(*request_.dtype);
    if (result_.float_dtype.has_value() && IsFloat(*result_.float_dtype)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("dtype: expected \"keep\" or a float dtype (float32, bfloat16, ...), found \"", *request_.dtype, "\""));
  }

  absl::Status OpenSource() {
    if (request_.source_client != nullptr) {
      CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<transfer::RemoteReader> remote,
                             transfer::RemoteReader::Open(*request_.source_client, request_.source, result_.float_dtype));
      remote_ = remote.get();
      reader_ = std::move(remote);
      return absl::OkStatus();
    }
    CAIRN_ASSIGN_OR_RETURN(OpenedFile file, OpenFile(request_.source));
    result_.source_format = std::string(file.spec.format->name());
    source_path_ = file.spec.path;
    beside_ = std::move(file.tree);
    url_ = std::move(file.url);
    reader_ = std::move(file.reader);
    return ReportLeftOut();
  }

  absl::Status ReportLeftOut() {
    for (const LeftOut& left_out : reader_->index().left_out) {
      result_.left_out.push_back(absl::StrCat("\"", left_out.path.ToString(), "\": ", left_out.what));
    }
    if (!request_.strict || result_.left_out.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("strict: the source holds what cannot be carried: ", result_.left_out.front(), ", and ",
                                                   result_.left_out.size() - 1, " more"));
  }

  absl::StatusOr<std::string> SourceIdentity() const {
    const std::string dtype(result_.float_dtype.has_value() ? DtypeName(*result_.float_dtype) : "keep");
    if (remote_ != nullptr) return absl::StrCat("uid:", remote_->checkpoint().uid, " ", dtype);
    CAIRN_ASSIGN_OR_RETURN(const std::string state, url_ != nullptr ? url_->Identity() : FileIdentity(source_path_));
    return absl::StrCat(request_.source, "\n", state);
  }

  absl::Status MakePlan() {
    // A daemon casts what it sends.
    if (remote_ == nullptr) request_.recipe.float_dtype = result_.float_dtype;
    request_.recipe.weight_marks = target_holds_values_;
    absl::StatusOr<std::unique_ptr<Recipe>> recipe = Recipe::Create(*reader_, beside_.get(), request_.recipe);
    if (!recipe.ok()) return request_.recipe.weights_only ? Annotate(recipe.status(), ShownPlace(request_.source)) : recipe.status();
    recipe_ = *std::move(recipe);
    const ConvertPlan& plan = recipe_->plan();
    if (const Mapping* mapping = recipe_->mapping(); mapping != nullptr) {
      result_.map = mapping->Describe();
      result_.map_dropped = mapping->plan().dropped;
    }
    const std::vector<ConvertPlan::Step>& steps = remote_ != nullptr ? recipe_->chosen().steps : plan.steps;
    result_.casts = std::count_if(steps.begin(), steps.end(), [&](const ConvertPlan::Step& step) {
      return remote_ != nullptr ? remote_->IsCast(step.source_entry) : step.from != step.to;
    });
    progress_.bytes_total = plan.target.TotalBytes();
    progress_.entries_total = plan.target.entries.size();
    return absl::OkStatus();
  }

  absl::Status WriteFile(CheckpointWriter& writer) {
    ConvertOptions options;
    options.may_drop = request_.target_file.drop_unsupported;
    options.progress = [&](const ConvertProgress& progress) {
      progress_ = progress;
      if (PollBlockingCall()) options.cancellation.Cancel();
    };
    CAIRN_RETURN_IF_ERROR(RunConvert(recipe_->reader(), recipe_->plan(), writer, options));
    result_.entries = progress_.entries_done;
    result_.bytes = progress_.bytes_done;
    result_.bytes_skipped = progress_.bytes_skipped;
    return absl::OkStatus();
  }

  absl::Status WriteCheckpoint() {
    client::SaveSpec spec = request_.save;
    // What the caller says goes over what the source says of itself.
    const ConvertPlan& plan = recipe_->plan();
    spec.metadata.insert(plan.target.metadata.begin(), plan.target.metadata.end());
    planned_.emplace(recipe_->reader(), plan);
    CAIRN_ASSIGN_OR_RETURN(save_, request_.target_client->Save(spec));
    CAIRN_RETURN_IF_ERROR(transfer::PutCheckpoint(*save_, *planned_));
    CAIRN_ASSIGN_OR_RETURN(result_.checkpoint, save_->Commit());
    progress_ = progress();
    result_.entries = plan.target.entries.size();
    result_.bytes = progress_.bytes_total;
    result_.bytes_skipped = progress_.bytes_skipped;
    return absl::OkStatus();
  }

  Request request_;
  Result result_;
  std::unique_ptr<CheckpointReader> reader_;
  transfer::RemoteReader* remote_ = nullptr;  // reader_, if the source is a ref.
  bool target_holds_values_ = true;
  std::string source_path_;  // Of a file.
  std::shared_ptr<const SourceTree> beside_;
  std::shared_ptr<const UrlTree> url_;  // The same, if it lies behind a URL.
  std::unique_ptr<Recipe> recipe_;
  std::optional<PlannedReader> planned_;      // While a ref is written,
  std::unique_ptr<client::SaveWriter> save_;  // which pulls from it.
  ConvertProgress progress_;
};

std::shared_ptr<client::Client> ClientOf(const Daemon* daemon) {
  return daemon == nullptr ? nullptr : daemon->client();
}

Result Convert(std::string source, std::string target, const Daemon* source_client, const Daemon* target_client,
               nb::handle select, nb::handle exclude, std::string root, bool weights_only, std::optional<std::string> dtype, std::string format,
               std::string strip_prefix, std::optional<TextFile> renames, std::string map, std::vector<TextFile> map_files,
               std::vector<TextFile> map_configs, std::optional<std::map<std::string, int64_t>> map_symbols, std::string prefix,
               bool strict, uint64_t max_shard_bytes, uint32_t parts, bool assets_beside, bool resume, std::string separator, bool drop_unsupported, bool overwrite,
               nb::handle metadata, std::string parent, std::string session_key, std::string created_by,
               nb::object progress) {
  Request request;
  request.source = std::move(source);
  request.target = std::move(target);
  request.source_client = ClientOf(source_client);
  request.target_client = ClientOf(target_client);
  RecipeRequest& recipe = request.recipe;
  recipe.select = ToStrings(select, "select");
  recipe.exclude = ToStrings(exclude, "exclude");
  recipe.root = std::move(root);
  recipe.weights_only = weights_only;
  recipe.strip_prefix = std::move(strip_prefix);
  recipe.prefix = std::move(prefix);
  const auto file = [](TextFile& text) { return MapLibrary::File{std::move(text.first), std::move(text.second)}; };
  if (renames.has_value()) recipe.renames = file(*renames);
  if (!map.empty()) {
    recipe.map.emplace();
    recipe.map->map = std::move(map);
    for (TextFile& text : map_files) recipe.map->files.push_back(file(text));
    for (TextFile& text : map_configs) recipe.map->configs.push_back(file(text));
    if (map_symbols.has_value()) recipe.map->given.insert(map_symbols->begin(), map_symbols->end());
  } else if (!map_files.empty() || !map_configs.empty() || (map_symbols.has_value() && !map_symbols->empty())) {
    OrRaise(absl::Status(absl::InvalidArgumentError("map_files, map_config and map_symbols go with a map, and there is none")));
  }
  request.strict = strict;
  request.resume = resume;
  request.target_file.parts = parts;
  request.target_file.assets_beside = assets_beside;
  request.dtype = std::move(dtype);
  request.target_file.format = std::move(format);
  request.target_file.max_shard_bytes = max_shard_bytes;
  request.target_file.separator = std::move(separator);
  request.target_file.drop_unsupported = drop_unsupported;
  request.target_file.overwrite = overwrite;
  request.save.overwrite = overwrite;
  request.save.metadata = ToMetadata(metadata);
  request.save.parent = std::move(parent);
  request.save.session_key = std::move(session_key);
  request.save.created_by = std::move(created_by);

  Conversion conversion(std::move(request));
  ProgressCallback report(std::move(progress), [&](const nb::object& callable) { callable(conversion.progress()); });
  absl::StatusOr<Result> result = RunBlocking(&report, [&] {
    absl::StatusOr<Result> made = conversion.Run();
    conversion.Close();
    return made;
  });
  if (result.ok()) report.Call();
  return OrRaise(std::move(result));
}

WeightsFinding FindWeightsIn(std::string source, const Daemon* client, std::string root) {
  const std::shared_ptr<client::Client> daemon = ClientOf(client);
  return OrRaise(RunBlocking(nullptr, [&]() -> absl::StatusOr<WeightsFinding> {
    CAIRN_ASSIGN_OR_RETURN(const KeyPath below, KeyPath::Parse(root));
    if (daemon != nullptr) {
      CAIRN_ASSIGN_OR_RETURN(const auto remote, transfer::RemoteReader::Open(*daemon, source, std::nullopt));
      return FindWeights(remote->index(), below);
    }
    CAIRN_ASSIGN_OR_RETURN(const OpenedFile file, OpenFile(source));
    return FindWeights(file.reader->index(), below);
  }));
}

void BindWeights(nb::module_& module) {
  nb::class_<WeightsPlace>(module, "WeightsPlace", nb::is_final())
      .def_prop_ro("root", [](const WeightsPlace& w) { return w.root.ToString(); })
      .def_ro("prefix", &WeightsPlace::prefix)
      .def_ro("wrappers", &WeightsPlace::wrappers)
      .def_ro("form", &WeightsPlace::form)
      .def_ro("tensors", &WeightsPlace::tensors)
      .def_ro("parameters", &WeightsPlace::parameters)
      .def_ro("bytes", &WeightsPlace::bytes)
      .def("__str__", &WeightsPlace::Describe)
      .def("__repr__", [](const WeightsPlace& w) { return absl::StrCat("<WeightsPlace ", w.Describe(), ">"); });
  module.def("find_weights", [](std::string source, const Daemon* client, std::string root) {
    WeightsFinding finding = FindWeightsIn(std::move(source), client, std::move(root));
    return nb::make_tuple(nb::cast(std::move(finding.place)), finding.candidates);
  }, nb::arg("source"), nb::kw_only(), nb::arg("client") = nb::none(), nb::arg("root") = "");
}

nb::object DtypeOrNone(const std::optional<Dtype>& dtype) {
  return dtype.has_value() ? FromText(std::string(DtypeName(*dtype))) : nb::none();
}

void BindFormats(nb::module_& module) {
  // Formats live for ever.
  nb::class_<Format>(module, "Format", nb::is_final(), "A file format.")
      .def_prop_ro("name", [](const Format& f) { return std::string(f.name()); })
      .def_prop_ro("variants", &Format::variants)
      .def_prop_ro("writable", [](const Format& f) { return f.traits().writable; })
      .def_prop_ro("nested_paths", [](const Format& f) { return f.traits().nested_paths; })
      .def_prop_ro("values", [](const Format& f) { return f.traits().values; })
      .def_prop_ro("assets", [](const Format& f) { return f.traits().assets; })
      .def_prop_ro("shards", [](const Format& f) { return f.traits().shards; })
      .def("__repr__", [](const Format& f) { return absl::StrCat("<Format ", f.name(), ">"); });
  module.def("formats", [] {
    nb::list formats;
    for (const Format* format : AllFormats()) formats.append(nb::cast(format, nb::rv_policy::reference));
    return formats;
  });
}

}  // namespace

void BindConvert(nb::module_& module) {
  BindFormats(module);
  BindWeights(module);
  nb::class_<Result>(module, "ConvertResult", nb::is_final())
      .def_ro("entries", &Result::entries)
      .def_ro("bytes", &Result::bytes)
      .def_ro("bytes_skipped", &Result::bytes_skipped)
      .def_prop_ro("float_dtype", [](const Result& r) { return DtypeOrNone(r.float_dtype); })
      .def_ro("casts", &Result::casts)
      .def_ro("source_format", &Result::source_format)
      .def_ro("target_format", &Result::target_format)
      .def_prop_ro("path",
                   [](const Result& r) {
                     return nb::steal(PyUnicode_DecodeFSDefaultAndSize(r.path.data(), r.path.size()));
                   })
      .def_prop_ro("checkpoint", [](const Result& r) { return r.checkpoint; })
      .def_ro("map", &Result::map)
      .def_ro("map_dropped", &Result::map_dropped)
      .def_ro("left_out", &Result::left_out)
      .def_ro("notes", &Result::notes)
      .def("__repr__", [](const Result& r) {
        return absl::StrCat("<ConvertResult ", r.entries, " entries, ", r.bytes, " bytes>");
      });
  module.def("convert", &Convert, nb::arg("source"), nb::arg("target"), nb::kw_only(),
             nb::arg("source_client") = nb::none(), nb::arg("target_client") = nb::none(),
             nb::arg("select") = nb::tuple(), nb::arg("exclude") = nb::tuple(), nb::arg("root") = "", nb::arg("weights_only") = false,
             nb::arg("dtype") = nb::none(), nb::arg("format") = "", nb::arg("strip_prefix") = "", nb::arg("renames") = nb::none(),
             nb::arg("map") = "", nb::arg("map_files") = nb::tuple(), nb::arg("map_configs") = nb::tuple(),
             nb::arg("map_symbols") = nb::none(), nb::arg("prefix") = "", nb::arg("strict") = false, nb::arg("max_shard_bytes") = 0,
             nb::arg("parts") = 0, nb::arg("assets_beside") = false, nb::arg("resume") = false, nb::arg("separator") = ".",
             nb::arg("drop_unsupported") = false, nb::arg("overwrite") = false, nb::arg("metadata") = nb::none(),
             nb::arg("parent") = "", nb::arg("session_key") = "", nb::arg("created_by") = "",
             nb::arg("progress") = nb::none());
}

}  // namespace cairn::python
