#include "tests/contract/format_contract.h"

#include "common/format/easylm/easylm_format.h"
#include "common/format/safetensors/safetensors_format.h"

namespace cairn::testing {

INSTANTIATE_TEST_SUITE_P(Formats, FormatContract,
                         ::testing::Values(FormatUnderTest{&SafetensorsFormat, ""},
                                           FormatUnderTest{&EasyLmFormat, ""},
                                           FormatUnderTest{&EasyLmFormat, "params"}),
                         NameOfFormat);

}  // namespace cairn::testing
