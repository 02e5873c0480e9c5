#include "tests/attacks/llama_attacks.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "common/format/torch/torch_file_writer.h"
#include "common/format/torch/torch_pickle.h"
#include "common/io/memory_io.h"

namespace cairn::testing {
namespace {

using Part = std::vector<LlamaTensor>;

LlamaTensor& Find(Part& part, const std::string& name) {
  return *std::find_if(part.begin(), part.end(), [&](const LlamaTensor& tensor) { return tensor.name == name; });
}

void Remove(Part& part, const std::string& name) {
  std::erase_if(part, [&](const LlamaTensor& tensor) { return tensor.name == name; });
}

}  // namespace

std::string LlamaBytes(const LlamaTensor& tensor) {
  std::string bytes(ByteSize(tensor.dtype, tensor.shape).value(), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>((tensor.fill + i) & 255);
  return bytes;
}

std::string TorchFileOf(const std::vector<LlamaTensor>& tensors) {
  CheckpointIndex index;
  for (const LlamaTensor& tensor : tensors) {
    index.entries.push_back(Entry::Tensor(KeyPath::Of({tensor.name}), tensor.dtype, tensor.shape, ByteSize(tensor.dtype, tensor.shape).value()));
  }
  std::vector<size_t> entries(tensors.size());
  std::iota(entries.begin(), entries.end(), size_t{0});
  const TorchObject object = MakeTorchObject(index, entries, nullptr).value();
  std::string bytes;
  MemorySink sink(&bytes);
  TorchFileWriter writer(&sink);
  (void)writer.Start(object.pickle);
  for (const size_t storage : object.storages) {
    (void)writer.StartStorage(index.entries[storage].byte_size);
    (void)writer.Append(LlamaBytes(tensors[storage]));
    (void)writer.FinishStorage();
  }
  (void)writer.Finish();
  (void)sink.Close();
  return bytes;
}

std::vector<LlamaTensor> LlamaPart(unsigned part, unsigned parts, bool columns_of_embedding) {
  const auto cut = [&](int64_t extent) { return extent / static_cast<int64_t>(parts); };
  const unsigned head = parts > 2 ? part / (parts / 2) : part;  // There are two.
  const int64_t kv_rows = parts > 2 ? 2 : cut(4);
  Part tensors = {
      {"tok_embeddings.weight", columns_of_embedding ? Shape{10, cut(8)} : Shape{cut(10), 8}, 100 * part},
      {"norm.weight", {8}, 7},
      {"output.weight", {cut(10), 8}, 1 + 100 * part},
      {"layers.0.attention.wq.weight", {cut(8), 8}, 2 + 100 * part},
      {"layers.0.attention.wk.weight", {kv_rows, 8}, 3 + 100 * head},
      {"layers.0.attention.wv.weight", {kv_rows, 8}, 4 + 100 * head},
      {"layers.0.attention.wo.weight", {8, cut(8)}, 5 + 100 * part},
      {"layers.0.feed_forward.w1.weight", {cut(12), 8}, 6 + 100 * part},
      {"layers.0.feed_forward.w2.weight", {8, cut(12)}, 7 + 100 * part},
      {"layers.0.feed_forward.w3.weight", {cut(12), 8}, 8 + 100 * part},
      {"layers.0.attention_norm.weight", {8}, 9},
      {"layers.0.ffn_norm.weight", {8}, 10},
  };
  if (columns_of_embedding) tensors.push_back({"rope.freqs", {1}, 11});
  return tensors;
}

std::string LlamaParamsText() {
  return R"({"dim": 8, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 10, "multiple_of": 4, "norm_eps": 1e-05, "rope_theta": 500000.0})";
}

std::vector<LlamaAttack> LlamaAttacks() {
  std::vector<LlamaAttack> attacks;
  // Two good parts, spoiled.
  const auto add = [&](const std::string& name, const std::string& message, const std::function<void(Part& first, Part& second)>& spoil,
                       const std::string& params = LlamaParamsText()) {
    Part first = LlamaPart(0, 2);
    Part second = LlamaPart(1, 2);
    spoil(first, second);
    LlamaAttack attack{name, {{"consolidated.00.pth", TorchFileOf(first)}, {"consolidated.01.pth", TorchFileOf(second)}}, message};
    if (!params.empty()) attack.files["params.json"] = params;
    attacks.push_back(std::move(attack));
  };
  const auto nothing = [](Part&, Part&) {};
  const auto params = [&](const std::string& name, const std::string& text, const std::string& message) { add(name, message, nothing, text); };
  const auto with_files = [&](const std::string& name, const std::string& message, const std::function<void(std::map<std::string, std::string>&)>& spoil) {
    add(name, message, nothing);
    spoil(attacks.back().files);
  };

  add("good", "", nothing);
  add("shapes_differ", "is a tensor of uint8 [8, 4] in consolidated.00.pth and a tensor of uint8 [8, 3]",
      [](Part&, Part& b) { Find(b, "layers.0.attention.wo.weight").shape = {8, 3}; });
  add("ranks_differ", "expected the same in all parts", [](Part&, Part& b) { Find(b, "output.weight").shape = {40}; });
  add("dtypes_differ", "is a tensor of uint8 [5, 8] in consolidated.00.pth and a tensor of int8 [5, 8]",
      [](Part&, Part& b) { Find(b, "output.weight").dtype = Dtype::kInt8; });
  add("a_name_too_much_in_the_first", "consolidated.00.pth has \"layers.1.attention.wq.weight\", and consolidated.01.pth has not",
      [](Part& a, Part&) { a.push_back({"layers.1.attention.wq.weight", {4, 8}, 0}); });
  add("a_name_too_much_in_the_second", "consolidated.01.pth has \"layers.1.attention.wq.weight\", and consolidated.00.pth has not",
      [](Part&, Part& b) { b.push_back({"layers.1.attention.wq.weight", {4, 8}, 0}); });
  add("a_name_missing", "consolidated.00.pth has \"output.weight\", and consolidated.01.pth has not", [](Part&, Part& b) { Remove(b, "output.weight"); });
  add("unknown_name", "\"vision.patches.weight\": is none of the tensors of Llama", [](Part& a, Part& b) {
    a.push_back({"vision.patches.weight", {4, 8}, 0});
    b.push_back({"vision.patches.weight", {4, 8}, 0});
  });
  add("name_of_a_strange_layer", "is none of the tensors of Llama", [](Part& a, Part& b) {
    a.push_back({"layers.x.attention.wq.weight", {4, 8}, 0});
    b.push_back({"layers.x.attention.wq.weight", {4, 8}, 0});
  });
  add("copies_differ", "differs between consolidated.00.pth and consolidated.01.pth", [](Part&, Part& b) { Find(b, "layers.0.ffn_norm.weight").fill = 11; });
  add("vector_where_a_matrix_belongs", "expected a matrix, found shape [40]", [](Part& a, Part& b) {
    Find(a, "output.weight").shape = {40};
    Find(b, "output.weight").shape = {40};
  });
  add("norm_of_another_model", "expected [8] by params.json", [](Part& a, Part& b) {
    Find(a, "norm.weight").shape = {9};
    Find(b, "norm.weight").shape = {9};
  });
  add("embeddings_of_no_kind", "neither as rows nor as 2 groups of columns", [](Part& a, Part& b) {
    Find(a, "tok_embeddings.weight").shape = {5, 7};
    Find(b, "tok_embeddings.weight").shape = {5, 7};
  });
  add("embeddings_undecidable", "cannot be told without the model's dim",
      [](Part& a, Part& b) {
        Remove(a, "norm.weight");
        Remove(b, "norm.weight");
      },
      "");
  add("heads_undecidable", "cannot be told without n_heads", nothing, "");
  add("empty_slices_of_many", "more than a tensor can have", [](Part& a, Part& b) {
    for (Part* part : {&a, &b}) Find(*part, "layers.0.feed_forward.w1.weight").shape = {INT64_MAX / 2 + 1, 0};
  });
  params("params_of_a_model_in_four_parts", R"({"dim": 16, "n_heads": 8, "n_kv_heads": 2, "vocab_size": 10})", "expected [16] by params.json");
  params("params_with_more_heads", R"({"dim": 8, "head_dim": 2, "n_heads": 8, "n_kv_heads": 2})", "expected 16 rows in all");
  params("params_with_other_key_heads", R"({"dim": 8, "n_heads": 4, "n_kv_heads": 4})", "expected 4 rows");
  params("params_with_three_key_heads", R"({"dim": 8, "n_heads": 4, "n_kv_heads": 3})", "do not go into 2 parts evenly");
  params("params_with_another_vocabulary", R"({"dim": 8, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 20})", "expected 20 by params.json: is a part missing?");
  params("params_without_heads", R"({"dim": 8, "vocab_size": -1})", "cannot be told without n_heads");
  params("params_of_zero_heads", R"({"dim": 8, "n_heads": 0})", "\"n_heads\": expected a number from 1 to");
  params("params_of_too_many_heads", R"({"dim": 8, "n_heads": 18446744073709551615})", "\"n_heads\": expected a number from 1 to");
  params("params_of_negative_heads", R"({"dim": 8, "n_heads": -4})", "\"n_heads\": expected a number");
  params("params_of_half_a_head", R"({"dim": 8, "n_heads": 0.5})", "\"n_heads\": expected a number");
  params("params_of_text", R"({"dim": "8"})", "\"dim\": expected a number");
  params("params_that_contradict_themselves", R"({"dim": 8, "dim": 16})", "said before");
  params("params_that_are_a_list", "[1, 2]", "expected an object, found an array");
  params("params_of_garbage", "garbage", "params.json");
  params("params_nested", std::string(100'000, '['), "params.json");
  params("params_of_megabytes", "{" + std::string(2u << 20, ' ') + "}", "expected at most");
  with_files("a_part_missing", "holds consolidated.02.pth, and no consolidated.01.pth", [](auto& files) {
    files["consolidated.02.pth"] = files["consolidated.01.pth"];
    files.erase("consolidated.01.pth");
  });
  with_files("the_first_part_missing", "holds consolidated.01.pth, and no consolidated.00.pth", [](auto& files) { files.erase("consolidated.00.pth"); });
  with_files("the_last_part_missing", "this is one of 2 parts, and the others are missing", [](auto& files) { files.erase("consolidated.01.pth"); });
  with_files("a_part_twice", "", [](auto& files) { files["consolidated.01.pth"] = files["consolidated.00.pth"]; });
  with_files("a_part_of_garbage", "consolidated.01.pth", [](auto& files) { files["consolidated.01.pth"] = "garbage"; });
  with_files("a_part_cut_short", "consolidated.01.pth", [](auto& files) { files["consolidated.01.pth"].resize(files["consolidated.01.pth"].size() / 2); });
  with_files("no_parts", "holds no consolidated.00.pth", [](auto& files) {
    files.erase("consolidated.00.pth");
    files.erase("consolidated.01.pth");
  });
  return attacks;
}

}  // namespace cairn::testing
