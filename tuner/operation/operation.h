// SPDX-License-Identifier: Apache-2.0
// The tuner's side of an operation: how its results are verified, its operands timed, its shapes sampled and its rules fitted.
// Defined in tuner/operations/<name>.cc.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/problem.h"
#include "ops/variant.h"
#include "profile/profile.h"
#include "tuner/operation/case.h"
#include "tuner/operation/expected.h"
#include "tuner/operation/stored_rows.h"

namespace metallic {

namespace tune {
struct AnalysisOptions;
class Candidates;
struct FitPoint;
struct Leaf;
}  // namespace tune

/// The axes of an operation's selection model.
struct ModelAxes {
  Axis first;                 ///< of the segments
  std::optional<Axis> parts;  ///< each value of it has a tree of its own
  std::vector<Axis> splits;   ///< axes that the trees may split
  int depth;                  ///< maximal number of splits from the root to a leaf
};

/// Two families whose times cross along an axis.
struct CurveFamilies {
  Axis axis;
  std::string_view a;  ///< expected to win at low values
  std::string_view b;
};

/// Takes one sampled shape; `role` is "grid" or "drawn".
using AddShape = std::function<void(const Problem&, const char* role)>;

/// A random whole number between two bounds, uniform in its logarithm.
using LogUniform = std::function<int64_t(double low, double high)>;

struct TunerOperation {
  const Operation* operation;

  // Verification.
  /// Adds the expected values of at most `most` results, chosen by `seed`: elements, or rows of them. `before` is what the output
  /// holds if a run reads it.
  void (*expect)(const Problem&, const Args&, const void* before, size_t most, uint64_t seed, std::vector<ExpectedElement>&);
  std::string (*coordinates)(const Problem&, int64_t logical);  ///< of an element of the output, for people
  void (*add_cases)(validation::CaseBuilder&, validation::Depth);
  /// Where the elements of an operand are stored, each once.
  std::vector<StoredRow> (*stored_rows)(const Problem&, size_t operand);
  double (*wide)(size_t operand, double x);  ///< x from [−1, 1) stretched to the widest range that the operation must bear
  double equal_value;                        ///< that all elements have in a case of equal values
  bool nan_in_each_row;                      ///< cases with one NaN or infinity have it in each row, not in the first alone
  /// Whether a mask hides element j of row i of an operand from all queries. Null: never.
  bool (*hidden)(const Problem&, size_t operand, int64_t i, int64_t j);
  /// Fills what an operand has beside its elements, e.g. the padding of packed weights. Null: nothing.
  void (*fill_padding)(const Problem&, size_t operand, std::byte* memory);

  // Timing.
  bool (*is_cold)(const Problem&, size_t operand);  ///< whether it comes from memory if caches are cold
  bool timed_warm;                                  ///< timed with warm caches as well as cold
  int64_t (*terms)(const Problem&);                 ///< multiply-adds to check one result: an element, or a row of them

  // Shapes.
  bool (*is_masked)(const Problem&);  ///< shapes with and without a mask are sampled apart
  void (*sample)(const Problem& first, int random_count, const AddShape&, const LogUniform&);

  // Fitting.
  ModelAxes axes;
  std::optional<CurveFamilies> curve;
  std::string (*held_fixed)(const Problem&);  ///< the part of a shape that one line of a chart holds fixed
  /// The problem with another value on axes.first, contiguous as the original must be; nothing if the value changes more.
  std::optional<Problem> (*moved)(const Problem&, int64_t value);
  /// The tuning guide's thresholds of one rule key's points. Null: none.
  std::vector<Threshold> (*thresholds)(const std::vector<tune::FitPoint>&, const std::vector<tune::Leaf>&,
                                       const tune::Candidates&, const tune::AnalysisOptions&);
};

/// Throws std::logic_error if the operation has no file in tuner/operations.
const TunerOperation& tuner_operation(Op op);

}  // namespace metallic
