// SPDX-License-Identifier: Apache-2.0
// The gate's decision: is one build slower than another? A group-sequential test on paired blocks of several benchmarks, with a
// stated probability of a false alarm.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace metallic::tune {

/// The number of blocks at which all benchmarks are tested, and the level of that test. The levels add up to 0.5 %, the
/// probability that a gate between equal builds raises any alarm: over looks by Bonferroni's inequality, over benchmarks by
/// Holm's procedure. The gate promises 1 %; the other half is kept for noise that no model covers.
struct Look {
  size_t blocks;
  double alpha;
};
inline constexpr std::array kLooks = {Look{15, 0.0005},  Look{30, 0.0006},  Look{60, 0.0007},
                                      Look{120, 0.0009}, Look{240, 0.0011}, Look{480, 0.0012}};

/// A last look at fewer blocks decides nothing.
inline constexpr size_t kLeastBlocks = kLooks.front().blocks;
/// The probability outside each end of an estimate's interval, of 99 % in all.
inline constexpr double kTail = 0.005;

enum class Finding : unsigned char { ok, slower, undecided };
std::string_view name(Finding finding);  ///< "ok", "slower", "undecided"

enum class GateVerdict : unsigned char { pass, fail, inconclusive };
std::string_view name(GateVerdict verdict);

/// The state of one benchmark after its last look. Differences are log ratios, ln(head / base).
struct Assessment {
  Finding finding = Finding::undecided;
  size_t blocks = 0;
  double estimate = 0;       ///< Hodges–Lehmann
  double low = 0, high = 0;  ///< 99 % interval; infinite if the blocks are too few or too correlated
  double p = 1;              ///< of the one-sided signed-rank test
  double inflation = 1;      ///< factor on the variance, by the autocorrelation of blocks
  std::string reason;        ///< for the finding, in words
};

class Gate {
 public:
  /// `tau` is the least slowdown that counts, a fraction.
  explicit Gate(size_t benchmarks, double tau = 0.025);

  /// Decides on recorded differences by benchmark, at one look.
  static Gate of_recorded(std::span<const std::vector<double>> differences, double tau);

  /// Whether the gate needs more blocks of a benchmark.
  bool wants(size_t benchmark) const;

  /// Adds ln(t_head / t_base) of a block. A value that is not finite ends the benchmark undecided. Takes the next look once every
  /// benchmark that needs blocks has enough for it.
  void add(size_t benchmark, double difference);

  /// Takes the last look, at the blocks there are, with all of the level that is left.
  void finish();

  std::span<const Assessment> assessments() const { return assessments_; }
  /// fail if a benchmark is slower; else inconclusive if one is undecided or there are none; else pass.
  GateVerdict verdict() const;

 private:
  bool accept(size_t benchmark, double difference);
  void look(double alpha, bool last);
  double pooled_autocorrelation() const;

  double tau_;
  size_t next_ = 0;  // of kLooks
  std::vector<std::vector<double>> blocks_;
  std::vector<Assessment> assessments_;
  std::vector<bool> wants_;
};

}  // namespace metallic::tune
