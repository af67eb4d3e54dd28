// The gate's decision: is one build slower than another? From paired blocks of several benchmarks, looked at a few times while
// they come in, with a stated chance of a false alarm.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace metallic::tune {

/// When all benchmarks are tested, and at which level. The levels add up to 0.5 %, the chance that a gate between equal builds
/// raises an alarm at all: over looks by Bonferroni's inequality, over benchmarks by Holm's procedure. 1 % is promised; half of
/// it is kept for what no model of noise has.
struct Look {
  size_t blocks;
  double alpha;
};
inline constexpr std::array kLooks = {Look{15, 0.0005},  Look{30, 0.0006},  Look{60, 0.0007},
                                      Look{120, 0.0009}, Look{240, 0.0011}, Look{480, 0.0012}};

/// A last look at fewer blocks is a refusal to decide.
inline constexpr size_t kLeastBlocks = kLooks.front().blocks;
/// The probability mass outside each end of an estimate's interval, which is one of 99 %.
inline constexpr double kTail = 0.005;

enum class Finding : unsigned char { ok, slower, undecided };
std::string_view name(Finding finding);  ///< "ok", "slower", "undecided"

enum class GateVerdict : unsigned char { pass, fail, inconclusive };
std::string_view name(GateVerdict verdict);

/// What is known of one benchmark after the last look at it. Differences are of logarithms, ln(head / base).
struct Assessment {
  Finding finding = Finding::undecided;
  size_t blocks = 0;
  double estimate = 0;       ///< Hodges–Lehmann
  double low = 0, high = 0;  ///< 99 %; infinite where the blocks are too few or too alike their neighbours
  double p = 1;              ///< one-sided signed rank
  double inflation = 1;      ///< of the variance, by the blocks' autocorrelation
  std::string reason;        ///< in words, why it is decided this way
};

class Gate {
 public:
  /// `tau` is the least slowdown that counts, a fraction: 0.025 is 2.5 %.
  explicit Gate(size_t benchmarks, double tau = 0.025);

  /// Decides on recorded blocks, at one look: benchmark by benchmark, their differences.
  static Gate of_recorded(std::span<const std::vector<double>> differences, double tau);

  /// Whether more blocks of a benchmark are wanted.
  bool wants(size_t benchmark) const;

  /// Adds ln(t_head / t_base) of a block. A value that is not finite ends the benchmark undecided. Where every benchmark that
  /// wants blocks has as many as the next look needs, the look is taken.
  void add(size_t benchmark, double difference);

  /// No more blocks will come: the last look, at what there is, spends all of the level that is left.
  void finish();

  std::span<const Assessment> assessments() const { return assessments_; }
  /// fail where a benchmark is slower; else inconclusive where one is undecided, or there is none.
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
