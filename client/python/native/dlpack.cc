#include "client/python/native/dlpack.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/python/native/errors.h"
#include "client/python/native/values.h"
#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"
#include "nanobind/stl/pair.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

// The memory layout that the DLPack standard fixes (versions 0 and 1).
struct DlDevice {
  int32_t type;
  int32_t id;
};
struct DlDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  int32_t rank;
  DlDataType dtype;
  int64_t* shape;
  int64_t* strides;  // In elements; null: C order.
  uint64_t byte_offset;
};
struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor*);
};
struct DlManagedTensorVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(DlManagedTensorVersioned*);
  uint64_t flags;
  DlTensor tensor;
};
constexpr uint64_t kReadOnlyFlag = 1;
constexpr uint64_t kPaddedFlag = 4;  // Elements below eight bits take a byte each.
constexpr uint32_t kKnownMajor = 1;

// Device types whose memory the processor can read: the host's, and what CUDA and ROCm pin or manage.
constexpr int32_t kHostDevices[] = {1, 3, 11, 13};

std::optional<Dtype> FromDlpack(DlDataType type, bool padded) {
  if (type.lanes != 1) return std::nullopt;
  struct Row {
    uint8_t code, bits;
    Dtype dtype;
    bool needs_padding = false;
  };
  static constexpr Row kRows[] = {
      {0, 8, Dtype::kInt8},          {0, 16, Dtype::kInt16},         {0, 32, Dtype::kInt32},
      {0, 64, Dtype::kInt64},        {1, 8, Dtype::kUint8},          {1, 16, Dtype::kUint16},
      {1, 32, Dtype::kUint32},       {1, 64, Dtype::kUint64},        {2, 16, Dtype::kFloat16},
      {2, 32, Dtype::kFloat32},      {2, 64, Dtype::kFloat64},       {4, 16, Dtype::kBfloat16},
      {5, 64, Dtype::kComplex64},    {5, 128, Dtype::kComplex128},   {6, 8, Dtype::kBool},
      {7, 8, Dtype::kFloat8E3M4},    {8, 8, Dtype::kFloat8E4M3},     {9, 8, Dtype::kFloat8E4M3B11Fnuz},
      {10, 8, Dtype::kFloat8E4M3Fn}, {11, 8, Dtype::kFloat8E4M3Fnuz}, {12, 8, Dtype::kFloat8E5M2},
      {13, 8, Dtype::kFloat8E5M2Fnuz}, {14, 8, Dtype::kFloat8E8M0Fnu}, {15, 6, Dtype::kFloat6E2M3Fn, true},
      {16, 6, Dtype::kFloat6E3M2Fn, true}, {17, 4, Dtype::kFloat4E2M1Fn, true}, {0, 4, Dtype::kInt4, true},
      {0, 2, Dtype::kInt2, true},    {1, 4, Dtype::kUint4, true},    {1, 2, Dtype::kUint2, true},
  };
  for (const Row& row : kRows) {
    if (row.code == type.code && row.bits == type.bits && (padded || !row.needs_padding)) return row.dtype;
  }
  return std::nullopt;
}

bool IsContiguous(const DlTensor& tensor) {
  if (tensor.strides == nullptr) return true;
  for (int32_t i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] == 0) return true;
  }
  int64_t expected = 1;
  for (int32_t i = tensor.rank - 1; i >= 0; --i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

class DlpackMemory {
 public:
  explicit DlpackMemory(nb::handle capsule) {
    const bool versioned = PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned") != 0;
    if (!versioned && PyCapsule_IsValid(capsule.ptr(), "dltensor") == 0) {
      Raise(absl::InvalidArgumentError("expected an unused DLPack capsule, as __dlpack__() returns it"));
    }
    const DlTensor* tensor;
    if (versioned) {
      auto* managed = static_cast<DlManagedTensorVersioned*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
      if (managed->major != kKnownMajor) {
        Raise(absl::UnimplementedError(absl::StrCat("DLPack ", managed->major, ".", managed->minor,
                                                    " is not supported, expected version ", kKnownMajor)));
      }
      tensor = &managed->tensor;
      flags_ = managed->flags;
    } else {
      tensor = &static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"))->tensor;
    }
    const std::optional<Dtype> dtype = FromDlpack(tensor->dtype, (flags_ & kPaddedFlag) != 0);
    if (!dtype.has_value()) {
      Raise(absl::UnimplementedError(absl::StrCat("no dtype of Cairn is DLPack's type with code ", tensor->dtype.code,
                                                  ", ", tensor->dtype.bits, " bits and ", tensor->dtype.lanes, " lanes")));
    }
    dtype_ = *dtype;
    shape_.assign(tensor->shape, tensor->shape + tensor->rank);
    bytes_ = OrRaise(ByteSize(dtype_, shape_));
    contiguous_ = IsContiguous(*tensor);
    // From here on the tensor is ours.
    if (versioned) {
      versioned_ = static_cast<DlManagedTensorVersioned*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
      PyCapsule_SetName(capsule.ptr(), "used_dltensor_versioned");
    } else {
      managed_ = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
      PyCapsule_SetName(capsule.ptr(), "used_dltensor");
    }
  }
  ~DlpackMemory() {
    if (managed_ != nullptr && managed_->deleter != nullptr) managed_->deleter(managed_);
    if (versioned_ != nullptr && versioned_->deleter != nullptr) versioned_->deleter(versioned_);
  }
  DlpackMemory(const DlpackMemory&) = delete;
  DlpackMemory& operator=(const DlpackMemory&) = delete;

  const DlTensor& tensor() const { return versioned_ != nullptr ? versioned_->tensor : managed_->tensor; }
  Dtype dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  Shape strides() const {
    if (tensor().strides != nullptr) return Shape(tensor().strides, tensor().strides + tensor().rank);
    Shape strides(shape_.size());
    int64_t stride = 1;
    for (size_t i = shape_.size(); i-- > 0; stride *= shape_[i]) strides[i] = stride;
    return strides;
  }
  uint64_t bytes() const { return bytes_; }
  bool readonly() const { return (flags_ & kReadOnlyFlag) != 0; }
  bool contiguous() const { return contiguous_; }
  bool host() const {
    return std::find(std::begin(kHostDevices), std::end(kHostDevices), tensor().device.type) != std::end(kHostDevices);
  }

 private:
  DlManagedTensor* managed_ = nullptr;  // One of the two.
  DlManagedTensorVersioned* versioned_ = nullptr;
  uint64_t flags_ = 0;
  Dtype dtype_ = Dtype::kInvalid;
  Shape shape_;
  uint64_t bytes_ = 0;
  bool contiguous_ = false;
};

int GetBuffer(PyObject* self, Py_buffer* view, int flags) {
  if (!nb::inst_ready(self)) {
    PyErr_SetString(PyExc_BufferError, "this DlpackMemory was not initialised");
    return -1;
  }
  const DlpackMemory& memory = *nb::inst_ptr<DlpackMemory>(self);
  if (!memory.host() || !memory.contiguous()) {
    PyErr_SetString(PyExc_BufferError, memory.host() ? "the array is not in C order" : "the array is not in host memory");
    return -1;
  }
  char* const data = static_cast<char*>(memory.tensor().data);
  // DLPack allows no pointer for no elements, the buffer protocol does not.
  static char nothing = 0;
  return PyBuffer_FillInfo(view, self, data == nullptr ? &nothing : data + memory.tensor().byte_offset,
                           static_cast<Py_ssize_t>(memory.bytes()), memory.readonly(), flags);
}

PyType_Slot kSlots[] = {
    {Py_bf_getbuffer, reinterpret_cast<void*>(&GetBuffer)},
    {0, nullptr},
};

}  // namespace

void BindDlpack(nb::module_& module) {
  nb::class_<DlpackMemory>(module, "DlpackMemory", nb::is_final(), nb::type_slots(kSlots),
                           "Borrows what a DLPack capsule describes and exports its bytes through the buffer protocol.")
      .def(
          "__init__", [](DlpackMemory* self, nb::handle capsule) { new (self) DlpackMemory(capsule); },
          nb::arg("capsule"))
      .def_prop_ro("dtype", [](const DlpackMemory& m) { return FromText(std::string(DtypeName(m.dtype()))); })
      .def_prop_ro("shape", [](const DlpackMemory& m) { return FromShape(m.shape()); })
      .def_prop_ro("strides", [](const DlpackMemory& m) { return FromShape(m.strides()); })
      .def_prop_ro("device",
                   [](const DlpackMemory& m) { return std::pair(m.tensor().device.type, m.tensor().device.id); })
      .def_prop_ro("readonly", &DlpackMemory::readonly)
      .def_prop_ro("contiguous", &DlpackMemory::contiguous)
      .def_prop_ro("host", &DlpackMemory::host);
}

}  // namespace cairn::python
