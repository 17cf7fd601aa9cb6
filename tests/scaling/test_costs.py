"""Costs are read from programs whose costs are known."""

import functools

import jax
import jax.numpy as jnp
import pytest

from siren_jax.scaling import costs, flops

F32 = 4


def compiled(function, *args):
  return jax.jit(function).lower(*args).compile().as_text()


def test_a_loop_counts_once_per_iteration():
  x, w = jnp.ones((8, 16)), jnp.ones((5, 16, 16))

  def loop(x, w):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]

  expected = 5 * 2 * 8 * 16 * 16
  counted = costs.of(compiled(loop, x, w))
  assert counted.flops == flops.count(loop, x, w) == expected
  assert counted.unknown_loops == 0
  # Every matrix is read once, and x is read and written every turn.
  assert counted.bytes >= F32 * (5 * 16 * 16 + 5 * 2 * 8 * 16)
  assert counted.bytes < 6 * F32 * (5 * 16 * 16 + 5 * 2 * 8 * 16)


def test_flops_of_products_and_convolutions_follow_from_shapes():
  x = jnp.ones((3, 4, 5))
  product = functools.partial(jnp.einsum, "bij,bkj->bik")
  assert flops.count(product, x, x) == 2 * 3 * 4 * 4 * 5
  image, kernel = jnp.ones((2, 3, 10)), jnp.ones((7, 3, 4))
  convolve = jax.jit(lambda x, k: jax.lax.conv(x, k, (1,), "VALID"))
  assert flops.count(convolve, image, kernel) == 2 * (2 * 7 * 7) * 3 * 4
  assert costs.of(compiled(convolve, image, kernel)).flops == 2 * 98 * 12


def test_rematerialised_work_counts_again():
  x, w = jnp.ones((4, 8)), jnp.ones((8, 8))

  def loss(x, layer):
    return jnp.sum(layer(jnp.tanh(layer(x))))

  def grad(wrap):
    layer = wrap(lambda x: jnp.tanh(x @ w))
    return flops.count(jax.grad(lambda x: loss(x, layer)), x)

  once = 2 * 4 * 8 * 8
  assert grad(lambda f: f) == 4 * once
  assert grad(jax.checkpoint) == 6 * once


def test_a_branch_counts_as_often_as_the_others():
  x, i = jnp.ones((64, 64)), jnp.int32(0)

  def branches(i, x):
    return jax.lax.switch(i, [lambda x: x @ x @ x, lambda x: x @ x, jnp.sin], x)

  expected = 3 * (2 * 64**3) / 3
  assert flops.count(branches, i, x) == expected
  assert costs.of(compiled(branches, i, x)).flops == expected


HLO = """
HloModule step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%a, %b)
}

%scattered (p: f32[64,32]) -> f32[8,32] {
  %p = f32[64,32]{1,0:T(8,128)} parameter(0)
  %whole = f32[64,32]{1,0:T(8,128)} all-reduce(%p), channel_id=3, \
replica_groups=[2,8]<=[16], use_global_device_ids=true, to_apply=%add
  %index = s32[]{:T(128)} constant(0)
  ROOT %mine = f32[8,32]{1,0:T(8,128)} dynamic-slice(%whole, %index, %index), \
dynamic_slice_sizes={8,32}
}

%one_layer (stack: bf16[14,64,32], i: s32[]) -> bf16[1,64,32] {
  %stack = bf16[14,64,32]{2,1,0:T(8,128)(2,1)} parameter(0)
  %i = s32[]{:T(128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  ROOT %part = bf16[1,64,32]{2,1,0:T(8,128)(2,1)} dynamic-slice(%stack, %i, \
/*index=2*/%zero, %zero), dynamic_slice_sizes={1,64,32}
}

%body (state: (s32[], bf16[14,64,32], f32[64,32])) -> (s32[], \
bf16[14,64,32], f32[64,32]) {
  %state = (s32[]{:T(128)}, bf16[14,64,32]{2,1,0:T(8,128)(2,1)}, \
f32[64,32]{1,0:T(8,128)}) parameter(0)
  %n = s32[]{:T(128)} get-tuple-element(%state), index=0
  %w = bf16[14,64,32]{2,1,0:T(8,128)(2,1)} get-tuple-element(%state), index=1
  %x = f32[64,32]{1,0:T(8,128)} get-tuple-element(%state), index=2
  %layer = bf16[1,64,32]{2,1,0:T(8,128)(2,1)S(1)} fusion(%w, %n), kind=kLoop, \
calls=%one_layer
  %gathered = bf16[8,64,32]{2,1,0:T(8,128)(2,1)S(1)} all-gather(%layer), \
channel_id=2, replica_groups={{0,1,2,3,4,5,6,7},{8,9,10,11,12,13,14,15}}, \
dimensions={0}, use_global_device_ids=true
  %one = s32[]{:T(128)} constant(1)
  %next = s32[]{:T(128)} add(%n, %one)
  ROOT %new = (s32[]{:T(128)}, bf16[14,64,32]{2,1,0:T(8,128)(2,1)}, \
f32[64,32]{1,0:T(8,128)}) tuple(%next, %w, %x)
}

%condition (state.1: (s32[], bf16[14,64,32], f32[64,32])) -> pred[] {
  %state.1 = (s32[]{:T(128)}, bf16[14,64,32]{2,1,0:T(8,128)(2,1)}, \
f32[64,32]{1,0:T(8,128)}) parameter(0)
  %last = s32[]{:T(128)} constant(14)
  %count = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  ROOT %go = pred[]{:T(512)} compare(%count, %last), direction=LT
}

ENTRY %main (start: s32[], w.1: bf16[14,64,32], x.1: f32[64,32]) -> f32[8,32] {
  %start = s32[]{:T(128)} parameter(0)
  %w.1 = bf16[14,64,32]{2,1,0:T(8,128)(2,1)} parameter(1)
  %x.1 = f32[64,32]{1,0:T(8,128)} parameter(2)
  %begin = (s32[]{:T(128)}, bf16[14,64,32]{2,1,0:T(8,128)(2,1)}, \
f32[64,32]{1,0:T(8,128)}) tuple(%start, %w.1, %x.1)
  %loop = (s32[]{:T(128)}, bf16[14,64,32]{2,1,0:T(8,128)(2,1)}, \
f32[64,32]{1,0:T(8,128)}) while(%begin), condition=%condition, body=%body
  %end = f32[64,32]{1,0:T(8,128)} get-tuple-element(%loop), index=2
  ROOT %out = f32[8,32]{1,0:T(8,128)} fusion(%end), kind=kCustom, \
calls=%scattered
}
"""


def test_bytes_and_collectives_of_a_tpu_program_are_counted():
  counted = costs.of(HLO)
  kinds = {c.kind: c for c in counted.collectives}
  gather, scatter = kinds["all-gather"], kinds["reduce-scatter"]
  assert (gather.devices, gather.times) == (8, 14)
  assert gather.sent == 8 * 64 * 32 * 2 * 7 // 8
  # An all-reduce of which a slice is kept is what a TPU runs as a scatter.
  assert (scatter.devices, scatter.times) == (8, 1)
  assert scatter.sent == 64 * 32 * F32 * 7 // 8
  assert counted.sent == 14 * gather.sent + scatter.sent
  # The layer of each turn is read, not the stack; what is on the chip is free.
  layers, counter = 14 * 64 * 32 * 2, 14 * 4
  scattered = (64 + 8) * 32 * F32
  assert counted.bytes == pytest.approx(layers + counter + scattered, abs=200)


@pytest.mark.parametrize(
  "groups, devices",
  [
    ("{{0,1},{2,3}}", 2),
    ("[2,8]<=[16]", 8),
    ("[4,2]<=[2,2,2]T(1,0,2)", 2),
    ("mesh['axis_0'=2,'axis_1'=4,'axis_2'=3] {'axis_1','axis_2'}", 12),
    ("mesh['a'=2,'b'=4] device_ids=([2,4]<=[8]) {'b'}", 4),
    ("mesh['a'=2,'b'=8] {'a','b':(2)4}", 8),
  ],
)
def test_replica_groups_of_every_notation_are_counted(groups, devices):
  attributes = f"channel_id=1, replica_groups={groups}, dimensions={{0}}"
  assert costs._group(attributes) == devices


@pytest.mark.parametrize(
  "groups", ["<whatever comes next>", "{}", "mesh['a'=2] {'a'[1:2]}"]
)
def test_a_group_that_cannot_be_read_is_no_group_of_one(groups):
  with pytest.raises(ValueError, match="another form"):
    costs._group(f"replica_groups={groups}")


COLLECTIVES = """
%both (p: f32[64,32], q: f32[64]) -> (f32[8,32], f32[64]) {
  %p = f32[64,32]{1,0} parameter(0)
  %q = f32[64]{0} parameter(1)
  %sums = (f32[64,32]{1,0}, f32[64]{0}) all-reduce(%p, %q), channel_id=1, \
replica_groups=[1,8]<=[8], use_global_device_ids=true, to_apply=%add
  %first = f32[64,32]{1,0} get-tuple-element(%sums), index=0
  %second = f32[64]{0} get-tuple-element(%sums), index=1
  %index = s32[] constant(0)
  %view = f32[64,32]{1,0} bitcast(%first)
  %mine = f32[8,32]{1,0} dynamic-slice(%view, %index, %index), \
dynamic_slice_sizes={8,32}
  ROOT %out = (f32[8,32]{1,0}, f32[64]{0}) tuple(%mine, %second)
}

%product (a: f32[8,64], b: f32[64,4]) -> f32[8,4] {
  %a = f32[8,64]{1,0} parameter(0)
  %b = f32[64,4]{1,0} parameter(1)
  ROOT %ab = f32[8,4]{1,0} dot(%a, %b), lhs_contracting_dims={1}, \
rhs_contracting_dims={0}
}

ENTRY %main (x: f32[64,32], y: f32[64], a.1: f32[8,64], b.1: f32[64,4]) -> \
f32[8,4] {
  %x = f32[64,32]{1,0} parameter(0)
  %y = f32[64]{0} parameter(1)
  %a.1 = f32[8,64]{1,0} parameter(2)
  %b.1 = f32[64,4]{1,0} parameter(3)
  %scattered = (f32[8,32]{1,0}, f32[64]{0}) fusion(%x, %y), kind=kCustom, \
calls=%both
  %begun = f32[512]{0} all-gather(%y), channel_id=1, \
replica_groups=[1,8]<=[8], frontend_attributes={chain_id="4"}
  %done = f32[512]{0} all-gather(%y), channel_id=1, \
replica_groups=[1,8]<=[8], frontend_attributes={chain_id="4"}
  %start = (f32[64]{0}, f32[64]{0}, f32[512]{0}, f32[512]{0}) \
all-gather-start(%y, %y), channel_id=1, replica_groups=[1,8]<=[8]
  ROOT %c = f32[8,4]{1,0} call(%a.1, %b.1), to_apply=%product
}
"""


def test_collectives_that_share_a_channel_or_an_instruction():
  counted = costs.of(COLLECTIVES)
  sent = {(c.kind, c.sent): c.times for c in counted.collectives}
  assert sent == {
    # Two sums in one instruction, of which one is cut up.
    ("reduce-scatter", 64 * 32 * F32 * 7 // 8): 1,
    ("all-reduce", 2 * 64 * F32 * 7 // 8): 1,
    # One gather as a chain of two instructions, and two in one.
    ("all-gather", 512 * F32 * 7 // 8): 1,
    ("all-gather", 2 * 512 * F32 * 7 // 8): 1,
  }


def test_flops_of_called_computations_count():
  assert costs.of(COLLECTIVES).flops == 2 * 8 * 4 * 64


@pytest.mark.parametrize(
  "window, ins, out, expected",
  [
    # Eight rows of a batch as a dilated axis: each output has one input.
    ("size=8 stride=7 lhs_dilate=8", 8, 8, 8),
    # A sum over an axis, as a window of its length.
    ("size=8", 8, 1, 8),
    # An outer product, as a window that is padded all around.
    ("size=3 pad=2_2 rhs_reversal=1", 1, 3, 3),
  ],
)
def test_axes_written_as_windows_are_counted_by_their_taps(
  window, ins, out, expected
):
  settings = costs._window(f"window={{{window}}}, dim_labels=0bf_0io->0bf", 1)
  assert costs._taps(ins, out, **settings[0]) == expected
