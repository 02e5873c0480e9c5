#include "tests/contract/format_contract.h"

#include "common/format/colossalai/colossalai_format.h"
#include "common/format/dcp/dcp_format.h"
#include "common/format/easylm/easylm_format.h"
#include "common/format/flax/flax_format.h"
#include "common/format/lightning/lightning_format.h"
#include "common/format/litgpt/litgpt_format.h"
#include "common/format/llama/llama_format.h"
#include "common/format/npz/npz_format.h"
#include "common/format/safetensors/safetensors_format.h"
#include "common/format/torch/torch_format.h"

namespace cairn::testing {

INSTANTIATE_TEST_SUITE_P(Formats, FormatContract,
                         ::testing::Values(FormatUnderTest{&SafetensorsFormat, ""},
                                           FormatUnderTest{&ColossalAiFormat, ""},
                                           FormatUnderTest{&ColossalAiFormat, "colossalai_safetensors"},
                                           FormatUnderTest{&DcpFormat, ""},
                                           FormatUnderTest{&EasyLmFormat, ""},
                                           FormatUnderTest{&EasyLmFormat, "params"},
                                           FormatUnderTest{&FlaxFormat, ""},
                                           FormatUnderTest{&FlaxFormat, "flax_params"},
                                           FormatUnderTest{&LightningFormat, "lightning_weights"},
                                           FormatUnderTest{&LitGptFormat, ""},
                                           FormatUnderTest{&LlamaFormat, ""},
                                           FormatUnderTest{&NpzFormat, ""},
                                           FormatUnderTest{&TorchFormat, ""}),
                         NameOfFormat);

}  // namespace cairn::testing
