#include "common/format/safetensors/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

struct NamedDtype {
  absl::string_view name;
  Dtype dtype;
};

// In ascending order of alignment, as the reference writer ranks them.
constexpr NamedDtype kDtypes[] = {
    {"BOOL", Dtype::kBool},
    {"F4", Dtype::kF4Packed},
    {"F6_E2M3", Dtype::kF6E2M3Packed},
    {"F6_E3M2", Dtype::kF6E3M2Packed},
    {"U8", Dtype::kUint8},
    {"I8", Dtype::kInt8},
    {"F8_E5M2", Dtype::kFloat8E5M2},
    {"F8_E4M3", Dtype::kFloat8E4M3Fn},
    {"F8_E8M0", Dtype::kFloat8E8M0Fnu},
    {"F8_E4M3FNUZ", Dtype::kFloat8E4M3Fnuz},
    {"F8_E5M2FNUZ", Dtype::kFloat8E5M2Fnuz},
    {"I16", Dtype::kInt16},
    {"U16", Dtype::kUint16},
    {"F16", Dtype::kFloat16},
    {"BF16", Dtype::kBfloat16},
    {"I32", Dtype::kInt32},
    {"U32", Dtype::kUint32},
    {"F32", Dtype::kFloat32},
    {"C64", Dtype::kComplex64},
    {"F64", Dtype::kFloat64},
    {"I64", Dtype::kInt64},
    {"U64", Dtype::kUint64},
};

bool IsJsonSpace(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

uint64_t LoadLittleEndian(const char* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// Collects the header's tensors and metadata. The document is {NAME: {"dtype", "shape", "data_offsets"}, ...,
// "__metadata__": {TEXT: TEXT}}; members of a tensor other than these three are skipped, as the reference
// does.
class HeaderHandler final : public JsonHandler {
 public:
  HeaderHandler(const ReadLimits& limits, SafetensorsHeader* header) : limits_(limits), header_(header) {}

  absl::Status OnKey(uint32_t depth, std::string key) override {
    if (depth == 1) return OnMember(std::move(key));
    if (depth != 2) return absl::OkStatus();  // Inside a member that we skip.
    if (in_metadata_) {
      metadata_key_ = std::move(key);
      return absl::OkStatus();
    }
    for (const Field field : {kDtypeField, kShapeField, kOffsetsField}) {
      if (key != kFieldNames[field]) continue;
      if (seen_[field]) return Refuse(absl::StrCat("has \"", key, "\" twice"));
      seen_[field] = true;
      field_ = field;
      return absl::OkStatus();
    }
    field_ = kSkipped;
    return absl::OkStatus();
  }

  absl::Status OnStart(uint32_t depth, bool is_object) override {
    if (depth == 0)
      return is_object ? absl::OkStatus() : absl::InvalidArgumentError("expected an object, found an array");
    if (depth == 1) return is_object ? absl::OkStatus() : Refuse("expected an object, found an array");
    if (in_metadata_) return RefuseMetadata(is_object ? "an object" : "an array");
    if (field_ == kSkipped) return absl::OkStatus();
    if (depth == 2 && !is_object && field_ != kDtypeField) return absl::OkStatus();
    return RefuseField(is_object ? "an object" : "an array");
  }

  absl::Status OnEnd(uint32_t depth) override {
    if (depth != 1) return absl::OkStatus();
    if (std::exchange(in_metadata_, false)) return absl::OkStatus();
    for (const Field field : {kDtypeField, kShapeField, kOffsetsField}) {
      if (!seen_[field]) return Refuse(absl::StrCat("lacks \"", kFieldNames[field], "\""));
    }
    field_ = kOffsetsField;
    if (offsets_.size() != 2) return RefuseField(absl::StrCat(offsets_.size(), " numbers"));
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    header_->tensors.push_back(std::move(tensor_));
    return absl::OkStatus();
  }

  absl::Status OnString(uint32_t depth, std::string value) override {
    if (depth == 0) return absl::InvalidArgumentError("expected an object, found a string");
    if (depth == 1) return Refuse("expected an object, found a string");
    if (in_metadata_) {
      if (header_->metadata.size() >= limits_.max_entries) {
        return Refuse(absl::StrCat("has more keys than the limit of ", limits_.max_entries));
      }
      if (!header_->metadata.emplace(metadata_key_, std::move(value)).second) {
        return Refuse(absl::StrCat("has ", NameForMessage(metadata_key_), " twice"));
      }
      return absl::OkStatus();
    }
    if (field_ == kSkipped) return absl::OkStatus();
    if (field_ != kDtypeField) return RefuseField("a string");
    const std::optional<Dtype> dtype = SafetensorsDtype(value);
    if (!dtype.has_value()) return Refuse(absl::StrCat("has the unknown dtype ", NameForMessage(value)));
    tensor_.dtype = *dtype;
    return absl::OkStatus();
  }

  absl::Status OnUnsigned(uint32_t depth, uint64_t value) override {
    if (depth != 3 || in_metadata_ || field_ == kSkipped) return OnOther(depth, "a number");
    if (field_ == kShapeField) {
      if (tensor_.shape.size() == kMaxRank)
        return Refuse(absl::StrCat("has more than ", kMaxRank, " dimensions"));
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Refuse(absl::StrCat("has a dimension of ", value, ", beyond int64"));
      }
      tensor_.shape.push_back(static_cast<int64_t>(value));
    } else {
      if (offsets_.size() == 2) return RefuseField("three numbers");
      offsets_.push_back(value);
    }
    return absl::OkStatus();
  }

  absl::Status OnOther(uint32_t depth, absl::string_view what) override {
    if (depth == 0) return absl::InvalidArgumentError(absl::StrCat("expected an object, found ", what));
    if (depth == 1) {
      // The reference takes null for no metadata.
      if (in_metadata_ && what == "null") {
        in_metadata_ = false;
        return absl::OkStatus();
      }
      return Refuse(absl::StrCat("expected an object, found ", what));
    }
    if (in_metadata_) return RefuseMetadata(what);
    if (field_ == kSkipped) return absl::OkStatus();
    return RefuseField(what);
  }

 private:
  enum Field { kDtypeField, kShapeField, kOffsetsField, kSkipped };
  static constexpr absl::string_view kFieldNames[] = {"dtype", "shape", "data_offsets"};
  static constexpr absl::string_view kFieldTypes[] = {"a string", "an array of integers >= 0",
                                                      "an array of two integers >= 0"};

  absl::Status OnMember(std::string name) {
    tensor_ = SafetensorsTensor();
    offsets_.clear();
    std::fill(std::begin(seen_), std::end(seen_), false);
    in_metadata_ = name == kSafetensorsMetadataName;
    tensor_.name = std::move(name);
    if (in_metadata_) {
      if (std::exchange(metadata_seen_, true)) return Refuse("appears twice");
      return absl::OkStatus();
    }
    if (tensor_.name.size() > limits_.max_name_bytes) {
      return Refuse(absl::StrCat("has a name of ", tensor_.name.size(), " bytes, over the limit of ",
                                 limits_.max_name_bytes));
    }
    if (header_->tensors.size() >= limits_.max_entries) {
      return absl::InvalidArgumentError(absl::StrCat("more tensors than the limit of ", limits_.max_entries));
    }
    return absl::OkStatus();
  }

  absl::Status Refuse(absl::string_view why) const {
    return absl::InvalidArgumentError(
        absl::StrCat(in_metadata_ ? "" : "tensor ", NameForMessage(tensor_.name), " ", why));
  }
  absl::Status RefuseField(absl::string_view found) const {
    return Refuse(absl::StrCat("has a bad \"", kFieldNames[field_], "\": expected ", kFieldTypes[field_],
                               ", found ", found));
  }
  absl::Status RefuseMetadata(absl::string_view found) const {
    return Refuse(
        absl::StrCat("has a bad ", NameForMessage(metadata_key_), ": expected a string, found ", found));
  }

  const ReadLimits& limits_;
  SafetensorsHeader* const header_;
  // The member that is being read.
  bool in_metadata_ = false;
  bool metadata_seen_ = false;
  std::string metadata_key_;
  SafetensorsTensor tensor_;
  std::vector<uint64_t> offsets_;
  bool seen_[3] = {};
  Field field_ = kSkipped;
};

// FORMAT.md, "What is checked": sizes, no holes, no overlaps, the whole file covered.
absl::Status CheckHeader(SafetensorsHeader* header, uint64_t data_bytes) {
  std::vector<SafetensorsTensor>& tensors = header->tensors;
  absl::flat_hash_set<absl::string_view> names;
  names.reserve(tensors.size());
  for (const SafetensorsTensor& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", NameForMessage(tensor.name), " appears twice"));
    }
  }
  // Moving a tensor moves its name; the views above end here.
  names.clear();
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  uint64_t expected = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.begin != expected || tensor.end < tensor.begin) {
      const std::string wrong = tensor.end < tensor.begin ? ", which end before they begin"
                                : tensor.begin < expected ? absl::StrCat(", expected to begin at ", expected, ": they overlap with those of another tensor")
                                                          : absl::StrCat(", expected to begin at ", expected, ": they leave a hole in the data");
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", NameForMessage(tensor.name), " has data_offsets [", tensor.begin, ", ", tensor.end, "]", wrong));
    }
    const absl::StatusOr<uint64_t> size = ByteSize(tensor.dtype, tensor.shape);
    if (!size.ok()) return Annotate(size.status(), absl::StrCat("tensor ", NameForMessage(tensor.name)));
    if (tensor.end - tensor.begin != *size) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", NameForMessage(tensor.name), " has ", tensor.end - tensor.begin, " bytes, expected ",
          *size, " for ", SafetensorsDtypeName(tensor.dtype), " ", ShapeToString(tensor.shape)));
    }
    expected = tensor.end;
  }
  if (expected != data_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tensors take ", expected, " bytes, but ", data_bytes, " follow the header: the file is ",
        expected > data_bytes ? "cut short" : "longer than its header says"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view SafetensorsDtypeName(Dtype dtype) {
  for (const NamedDtype& named : kDtypes) {
    if (named.dtype == dtype) return named.name;
  }
  return "";
}

std::optional<Dtype> SafetensorsDtype(absl::string_view name) {
  for (const NamedDtype& named : kDtypes) {
    if (named.name == name) return named.dtype;
  }
  return std::nullopt;
}

int SafetensorsDtypeRank(Dtype dtype) {
  const auto* it = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                [&](const NamedDtype& named) { return named.dtype == dtype; });
  return static_cast<int>(it - std::begin(kDtypes));
}

bool LooksLikeSafetensors(const ByteSource& source) {
  char bytes[256];
  const uint64_t have = std::min<uint64_t>(source.size(), sizeof(bytes));
  if (have < kSafetensorsPrefixBytes || !source.ReadAt(0, absl::MakeSpan(bytes, have)).ok()) return false;
  const uint64_t length = LoadLittleEndian(bytes);
  if (length < 2 || length > kSafetensorsMaxHeaderBytes || length > source.size() - kSafetensorsPrefixBytes) {
    return false;
  }
  // '{', then the quote of a name or the end of an empty header.
  absl::string_view text(bytes + kSafetensorsPrefixBytes,
                         std::min<uint64_t>(have - kSafetensorsPrefixBytes, length));
  const auto skip_space = [&text] {
    while (!text.empty() && IsJsonSpace(text.front())) text.remove_prefix(1);
  };
  skip_space();
  if (text.empty() || text.front() != '{') return false;
  text.remove_prefix(1);
  skip_space();
  return text.empty() || text.front() == '"' || text.front() == '}';
}

bool LooksLikeDcpSafetensors(const ByteSource& source) {
  if (!LooksLikeSafetensors(source)) return false;
  // The library writes its metadata first, and of the three texts there the long one is named within this.
  std::string head(std::min<uint64_t>(source.size(), 512), '\0');
  return source.ReadAt(0, absl::MakeSpan(head)).ok() && absl::StrContains(head, "\"DCP_SHARDING_INFO\"");
}

absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(const ByteSource& source, const ReadLimits& limits) {
  const auto refuse = [&source](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(source.name(), ": ", why));
  };
  if (source.size() < kSafetensorsPrefixBytes) {
    return refuse(absl::StrCat("file of ", source.size(), " bytes, expected at least the ",
                               kSafetensorsPrefixBytes, " bytes of a safetensors header length"));
  }
  char prefix[kSafetensorsPrefixBytes];
  CAIRN_RETURN_IF_ERROR(source.ReadAt(0, absl::MakeSpan(prefix)));
  const uint64_t length = LoadLittleEndian(prefix);
  const uint64_t cap = std::min(limits.max_header_bytes, kSafetensorsMaxHeaderBytes);
  if (length > cap) {
    return refuse(absl::StrCat("safetensors header length ", length, " is over the limit of ", cap));
  }
  if (length > source.size() - kSafetensorsPrefixBytes) {
    return refuse(
        absl::StrCat("safetensors header length ", length, " leaves the file of ", source.size(), " bytes"));
  }
  SafetensorsHeader header;
  header.data_offset = kSafetensorsPrefixBytes + length;
  {
    std::string text(length, '\0');
    CAIRN_RETURN_IF_ERROR(source.ReadAt(kSafetensorsPrefixBytes, absl::MakeSpan(text)));
    HeaderHandler handler(limits, &header);
    const JsonLimits json_limits{.max_depth = limits.max_depth, .max_string_bytes = limits.max_value_bytes};
    const absl::Status parsed = ParseJson(text, json_limits, &handler);
    if (!parsed.ok()) return Annotate(parsed, absl::StrCat(source.name(), ": safetensors header"));
  }
  const absl::Status checked = CheckHeader(&header, source.size() - header.data_offset);
  if (!checked.ok()) return Annotate(checked, absl::StrCat(source.name(), ": safetensors header"));
  return header;
}

absl::StatusOr<std::string> SerializeSafetensorsHeader(const std::map<std::string, std::string>& metadata,
                                                       const std::vector<SafetensorsTensor>& tensors) {
  std::string text(kSafetensorsPrefixBytes, '\0');
  text += '{';
  absl::string_view comma = "";
  if (!metadata.empty()) {
    absl::StrAppend(&text, JsonQuote(kSafetensorsMetadataName), ":{");
    for (const auto& [key, value] : metadata) {
      absl::StrAppend(&text, std::exchange(comma, ","), JsonQuote(key), ":", JsonQuote(value));
    }
    text += '}';
    comma = ",";
  }
  uint64_t offset = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t size, ByteSize(tensor.dtype, tensor.shape));
    const std::optional<uint64_t> end = CheckedAdd(offset, size);
    if (!end.has_value()) return absl::InvalidArgumentError("more than 2^64 bytes of tensors in one file");
    absl::StrAppend(&text, std::exchange(comma, ","), JsonQuote(tensor.name), ":{\"dtype\":\"",
                    SafetensorsDtypeName(tensor.dtype), "\",\"shape\":[");
    absl::string_view dim_comma = "";
    for (const int64_t dim : tensor.shape) absl::StrAppend(&text, std::exchange(dim_comma, ","), dim);
    absl::StrAppend(&text, "],\"data_offsets\":[", offset, ",", *end, "]}");
    offset = *end;
    if (text.size() > kSafetensorsMaxHeaderBytes) break;
  }
  text += '}';
  text.resize(AlignUp(text.size(), 8), ' ');
  const uint64_t length = text.size() - kSafetensorsPrefixBytes;
  if (length > kSafetensorsMaxHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "safetensors header of ", tensors.size(), " tensors would have more than ",
        kSafetensorsMaxHeaderBytes, " bytes; write several shards (a smaller maximum shard size)"));
  }
  for (uint64_t i = 0; i < kSafetensorsPrefixBytes; ++i) text[i] = static_cast<char>(length >> (8 * i));
  return text;
}

}  // namespace cairn
