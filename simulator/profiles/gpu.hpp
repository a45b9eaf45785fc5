#pragma once
/// One accelerator: its data sheet and the constants of its kernel-time models.

#include <map>
#include <string>
#include <vector>

#include "simulator/profiles/precision.hpp"
#include "simulator/profiles/residual_surface.hpp"
#include "simulator/profiles/sourced.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// Constants of the tile / wave model of matrix multiplication for one precision (kernels/gemm.hpp has the formula).
struct GemmProfile {
  struct Tile {
    int rows = 0;  ///< of the output
    int columns = 0;
  };
  std::vector<Tile> tiles;             ///< output tiles that the library's kernels use, largest first
  Sourced<double> peak_fraction;       ///< share of peak that the largest tile reaches while it computes, in bursts
  Sourced<double> tile_area_exponent;  ///< speed of a tile ~ (its area / largest area)^exponent
  Sourced<double> prologue_k;          ///< pipeline fill and drain of one tile, in units of k
  Sourced<double> wave_softness;       ///< 1: the last, partly filled wave costs a whole one; 0: costs its share
  Sourced<double> memory_fraction;     ///< share of HBM bandwidth that operand traffic reaches
  Sourced<double> epilogue_exposed;    ///< share of the output traffic that nothing hides
  Sourced<Seconds> fixed_time;         ///< start-up of one kernel
  Sourced<double> nn_factor;           ///< time of the input-gradient layout relative to the forward layout
  Sourced<double> nt_factor;           ///< time of the weight-gradient layout relative to the forward layout
  Sourced<double> grouped_factor{1, Basis::assumed, ""};  ///< time of an expert's tiles relative to a plain product's
  Sourced<double> sustained;  ///< clock inside a training step relative to the burst measurements above
  ResidualSurface residual;   ///< measured beyond the formula; may be empty
};

/// Speed of fused attention kernels, by generation of kernel ("flash1", "flash2", "flash3", "triton", "cudnn").
struct AttentionProfile {
  /// Forward and backward are kernels of their own: the backward one starts up over longer sequences and hardly minds a
  /// small head dimension.
  struct Pass {
    Sourced<double> fraction;     ///< share of the 16-bit peak: long sequence, head dim 128, no mask, many blocks
    Sourced<double> half_length;  ///< sequence length at which half of that speed is reached, no mask
    Sourced<double> causal_half_length;  ///< the same under a causal mask (its tiles near the diagonal waste work)
    Sourced<double> head_dim_64_factor;  ///< speed at head dim 64 relative to 128
    Sourced<double> head_dim_256_factor;
  };
  struct Kernel {
    Pass forward, backward;
    Sourced<double> tail_blocks{0, Basis::assumed, ""};  ///< what a launch's last thread blocks cost, in mean blocks

    const Pass& pass(bool is_backward) const { return is_backward ? backward : forward; }
  };
  std::map<std::string, Kernel> kernels;
  /// Dynamic power of these kernels relative to a matrix product's at the same clock: the matrix units rest while scores
  /// are exponentiated. A GPU at its power limit runs them at a higher clock for it.
  Sourced<double> power{1, Basis::assumed, ""};
};

/// Constants of kernels that are bound by HBM.
struct MemoryBoundProfile {
  Sourced<double> bandwidth_fraction;  ///< share of HBM bandwidth that large elementwise kernels reach in a step
  Sourced<Seconds> ramp_time;          ///< added to every kernel: fill and drain of the memory pipeline
  Sourced<Seconds> floor_time;         ///< no kernel is faster
  Sourced<double> l2_speedup{1, Basis::assumed, ""};  ///< bandwidth of what lies in the L2, relative to HBM's above
};

struct Gpu {
  std::string name;
  std::string description;
  std::string maker;                                  ///< nvidia | amd | google
  std::string generation;                             ///< volta | ampere | ada | hopper | blackwell | cdna3 | tpu
  Sourced<int> sms;                                   ///< streaming multiprocessors (AMD: compute units)
  Sourced<Hertz> boost_clock;                         ///< the clock that reproduces the data sheet's peak
  std::map<Precision, Sourced<FlopsPerSecond>> peak;  ///< dense; absent: no hardware path
  Sourced<Bytes> memory;                              ///< what the device offers a program
  Sourced<BytesPerSecond> hbm_bandwidth;
  Sourced<Bytes> l2;
  Sourced<Watts> power_limit;
  Sourced<Watts> sustained_power;         ///< the limit at which `sustained` was estimated
  std::map<Precision, GemmProfile> gemm;  ///< bf16 serves fp16 as well
  AttentionProfile attention;
  MemoryBoundProfile memory_bound;
  Sourced<Seconds> launch_gap;    ///< idle time on the GPU between two dependent kernels
  Sourced<double> speed_spread;   ///< standard deviation of sustained speed between GPUs of one kind
  Sourced<double> launch_spread;  ///< standard deviation of one region's time between launches
  Sourced<Bytes> context_memory;  ///< CUDA context, kernels and libraries' work space

  /// The rate at which matrix units multiply in `p`; a precision without hardware path takes the next wider one.
  FlopsPerSecond peak_rate(Precision p) const;

  /// The matrix-multiplication constants for `p`: its own, else those of the 16-bit formats.
  const GemmProfile& gemm_profile(Precision p) const;

  /// Clock inside a training step relative to bursts: the profile's `sustained`, at this part's power limit.
  ///
  ///   sustained * sqrt((power_limit - static) / (sustained_power - static)), never above a burst
  ///
  /// Dynamic power goes with clock * voltage^2. A GPU that is held below its clock by its power limit is on the lower
  /// part of its voltage curve, where that is about the square of the clock. Static, a seventh of the limit, is what is
  /// drawn whatever the clock: 100 of the H100's 700 W.
  /// The ratio of 500 to 700 W so found is 0.82 (H100, torchtitan's runs); of 1,200 to 1,000 W 1.11 (GB200 and B200).
  ///
  /// A kernel that draws `power` of the dynamic power of a product runs at 1 / sqrt(power) of the product's clock.
  double sustained_clock(Precision p, double power = 1) const;
};

}  // namespace stepcast
