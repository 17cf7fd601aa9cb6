"""What a GPU has to start is read from programs that say so."""

import pytest

from siren_jax.scaling import costs, hlo, launches

# Six turns of: a product and five kernels, a loop of 32 turns of one kernel
# with one after it, a loop of unknown length, and one of two branches.
HLO = """
HloModule sample, is_scheduled=true

%product (x: bf16[8,64], w: bf16[64,32]) -> f32[8,32] {
  %x = bf16[8,64]{1,0} parameter(0)
  %w = bf16[64,32]{1,0} parameter(1)
  ROOT %dot = f32[8,32]{1,0} dot(%x, %w), lhs_contracting_dims={1}, \
rhs_contracting_dims={0}
}

%square (a: f32[8,32]) -> f32[8,32] {
  %a = f32[8,32]{1,0} parameter(0)
  ROOT %aa = f32[8,32]{1,0} multiply(%a, %a)
}

%short (s: f32[8,32]) -> f32[8,32] {
  %s = f32[8,32]{1,0} parameter(0)
  ROOT %turn = f32[8,32]{1,0} fusion(%s), kind=kLoop, calls=%square
}

%below (s.1: f32[8,32]) -> pred[] {
  %s.1 = f32[8,32]{1,0} parameter(0)
  ROOT %more = pred[] custom-call(%s.1), custom_call_target="less"
}

%until (s.2: f32[8,32]) -> pred[] {
  %s.2 = f32[8,32]{1,0} parameter(0)
  %largest = f32[8,32]{1,0} fusion(%s.2), kind=kInput, calls=%square
  ROOT %go = pred[] custom-call(%largest), custom_call_target="less"
}

%one (b: f32[8,32]) -> f32[8,32] {
  %b = f32[8,32]{1,0} parameter(0)
  ROOT %once = f32[8,32]{1,0} fusion(%b), kind=kLoop, calls=%square
}

%three (c: f32[8,32]) -> f32[8,32] {
  %c = f32[8,32]{1,0} parameter(0)
  %c.1 = f32[8,32]{1,0} fusion(%c), kind=kLoop, calls=%square
  %c.2 = f32[8,32]{1,0} fusion(%c.1), kind=kLoop, calls=%square
  ROOT %c.3 = f32[8,32]{1,0} fusion(%c.2), kind=kLoop, calls=%square
}

%frame (state: (bf16[8,64], bf16[64,32], f32[8,32], s32[])) -> (bf16[8,64], \
bf16[64,32], f32[8,32], s32[]) {
  %state = (bf16[8,64]{1,0}, bf16[64,32]{1,0}, f32[8,32]{1,0}, s32[]) \
parameter(0)
  %x.1 = bf16[8,64]{1,0} get-tuple-element(%state), index=0
  %w.1 = bf16[64,32]{1,0} get-tuple-element(%state), index=1
  %n = s32[] get-tuple-element(%state), index=3
  %y = f32[8,32]{1,0} fusion(%x.1, %w.1), kind=kCustom, calls=%product
  %y.1 = f32[8,32]{1,0} fusion(%y), kind=kLoop, calls=%square
  %view = f32[8,32]{1,0} bitcast(%y.1)
  %y.2 = f32[8,32]{1,0} fusion(%view), kind=kLoop, calls=%square
  %begun = ((f32[8,32]{1,0}), f32[8,32]{1,0}, u32[]) fusion-start(%y.2), \
kind=kLoop, calls=%square
  %y.3 = f32[8,32]{1,0} fusion-done(%begun)
  %y.4 = f32[8,32]{1,0} copy(%y.3)
  %y.5 = f32[8,32]{1,0} fusion(%y.4), kind=kInput, calls=%square
  %y.6 = f32[8,32]{1,0} while(%y.5), condition=%below, body=%short, \
backend_config={"known_trip_count":{"n":"32"}}
  %y.7 = f32[8,32]{1,0} fusion(%y.6), kind=kLoop, calls=%square
  %y.8 = f32[8,32]{1,0} while(%y.7), condition=%until, body=%three
  %y.9 = f32[8,32]{1,0} conditional(%n, %y.8, %y.8), \
branch_computations={%one, %three}
  ROOT %next = (bf16[8,64]{1,0}, bf16[64,32]{1,0}, f32[8,32]{1,0}, s32[]) \
tuple(%x.1, %w.1, %y.9, %n)
}

%frames (state.1: (bf16[8,64], bf16[64,32], f32[8,32], s32[])) -> pred[] {
  %state.1 = (bf16[8,64]{1,0}, bf16[64,32]{1,0}, f32[8,32]{1,0}, s32[]) \
parameter(0)
  %count = s32[] get-tuple-element(%state.1), index=3
  ROOT %left = pred[] custom-call(%count), custom_call_target="less"
}

ENTRY %main (x.2: bf16[8,64], w.2: bf16[64,32], y.10: f32[8,32]) -> f32[8,32] {
  %x.2 = bf16[8,64]{1,0} parameter(0)
  %w.2 = bf16[64,32]{1,0} parameter(1)
  %y.10 = f32[8,32]{1,0} parameter(2)
  %zero = s32[] constant(0)
  %start = s32[] copy(%zero)
  %begin = (bf16[8,64]{1,0}, bf16[64,32]{1,0}, f32[8,32]{1,0}, s32[]) \
tuple(%x.2, %w.2, %y.10, %start)
  %loop = (bf16[8,64]{1,0}, bf16[64,32]{1,0}, f32[8,32]{1,0}, s32[]) \
while(%begin), condition=%frames, body=%frame, \
backend_config={"known_trip_count":{"n":"6"}}
  ROOT %end = f32[8,32]{1,0} get-tuple-element(%loop), index=2
}
"""


def test_kernels_of_an_iteration_are_counted():
  started = launches.of(hlo.Program(HLO).part("frame"))
  # In the frame 7; in loops 32 and 5; in either branch 1 or 3.
  assert started.kinds == {
    "fusion": 6 + 32 + 3 + 1 + 2,
    "custom-call": 1,
    "copy": 1,
  }
  assert started.kernels == 46
  assert started.branches == 1


def test_loops_are_named_by_their_length_and_what_they_start():
  started = launches.of(hlo.Program(HLO))
  assert set(started.loops) == {
    launches.Loop(times=1, trip_count=6, kernels=46),
    launches.Loop(times=6, trip_count=32, kernels=1),
    # Its condition runs on the device, and the host reads what it says.
    launches.Loop(times=6, trip_count=None, kernels=3 + 2),
  }
  assert started.kernels == 1 + 6 * 46


def test_a_graph_holds_what_no_loop_interrupts():
  # Six kernels up to the first loop; everything else is in short pieces.
  frame = launches.of(hlo.Program(HLO).part("frame"))
  assert frame.in_graphs == 6
  assert launches.of(hlo.Program(HLO)).in_graphs == 36


def test_to_start_from_a_graph_is_faster():
  started = launches.Launches({"fusion": 10}, 8, loops=(), branches=0)
  assert started.seconds(graphs=False) == pytest.approx((30e-6, 50e-6))
  assert started.seconds(graphs=True) == pytest.approx((14e-6, 26e-6))


def test_a_part_costs_what_one_run_of_it_does():
  program = hlo.Program(HLO)
  product = 2 * 8 * 64 * 32
  assert costs.of_program(program).flops == 6 * product
  frame = costs.of_program(program.part("frame"))
  assert frame.flops == product
  read = 2 * (8 * 64 + 64 * 32)
  # Each kernel reads and writes one array, but for the product.
  arrays = 4 * 8 * 32 * (1 + 2 * 5 + 2 * (1 + 32 + 3 + 2))
  assert frame.bytes == read + arrays


LIBRARIES = """
ENTRY %main (x: f32[4,4101,64], k: f32[128,7,64], a: bf16[64,512], \
b: bf16[512,256]) -> f32[64,256] {
  %x = f32[4,4101,64]{2,1,0} parameter(0)
  %k = f32[128,7,64]{2,1,0} parameter(1)
  %a = bf16[64,512]{1,0} parameter(2)
  %b = bf16[512,256]{1,0} parameter(3)
  %conv = (f32[4,2048,128]{2,1,0}, u8[999]{0}) custom-call(%x, %k), \
window={size=7 stride=2}, dim_labels=b0f_o0i->b0f, \
custom_call_target="__cudnn$convForward", backend_config={}
  %y = f32[4,2048,128]{2,1,0} get-tuple-element(%conv), index=0
  %filter = (f32[128,7,64]{2,1,0}, u8[999]{0}) custom-call(%x, %y), \
window={size=7 stride=2}, dim_labels=b0f_o0i->b0f, \
custom_call_target="__cudnn$convBackwardFilter", backend_config={}
  %input = (f32[4,4101,64]{2,1,0}, u8[999]{0}) custom-call(%y, %k), \
window={size=7 stride=2}, dim_labels=b0f_o0i->b0f, \
custom_call_target="__cudnn$convBackwardInput", backend_config={}
  %gemm = (f32[64,256]{1,0}, s8[33554432]{0}) custom-call(%a, %b), \
custom_call_target="__cublas$lt$matmul", backend_config={\
"gemm_backend_config":{"dot_dimension_numbers":{\
"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  ROOT %ab = f32[64,256]{1,0} get-tuple-element(%gemm), index=0
}
"""


def test_products_of_libraries_count_without_their_workspace():
  counted = costs.of(LIBRARIES)
  convolution = 2 * 4 * 2048 * 128 * 64 * 7
  assert counted.flops == 3 * convolution + 2 * 64 * 512 * 256
  x, k, y = 4 * 4101 * 64, 128 * 7 * 64, 4 * 2048 * 128
  product = 2 * (64 * 512 + 512 * 256) + 4 * 64 * 256
  assert counted.bytes == 3 * 4 * (x + k + y) + product


IN_PLACE = """
ENTRY %main (q: bf16[6,64], k: bf16[6,301,64]) -> bf16[6,64] {
  %q = bf16[6,64]{1,0} parameter(0)
  %k = bf16[6,301,64]{2,1,0} parameter(1)
  %kernel = (bf16[6,64]{1,0}, bf16[6,301,64]{2,1,0}) custom-call(%q, %k), \
custom_call_target="__gpu$xla.gpu.triton", \
output_to_operand_aliasing={{1}: (1, {})}, api_version=API_VERSION_TYPED_FFI
  ROOT %out = bf16[6,64]{1,0} get-tuple-element(%kernel), index=0
}
"""


def test_what_a_kernel_updates_in_place_is_read_and_not_written():
  small, cache = 2 * 6 * 64, 2 * 6 * 301 * 64
  assert costs.of(IN_PLACE).bytes == small + cache + small
  whole = IN_PLACE.replace("{{1}: (1, {})}", "{{1}: (1, {}), {0}: (0, {})}")
  assert costs.of(whole).bytes == small + cache
