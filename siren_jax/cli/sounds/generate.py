"""generate sounds from text, or from a recording

  siren-jax generate "a dog barking" "rain on a tin roof" --num-samples 2
  siren-jax generate --prompts prompts.txt --out sounds/ --spectrogram
  siren-jax generate rain --seconds 600 --out rain.wav

Every sound is written as a 16-bit WAV, or in the format given by the suffix of
--out. A JSON file of the same name records how it was made and the command that
reproduces it. The same prompt, seed, sample index and settings give the same
sound on the same machine, whether it is generated alone or with others. Files
are never overwritten: a number is added to a name that is taken.

  siren-jax generate --continue clip.wav
  siren-jax generate --fill 2.0:3.5 clip.wav
  siren-jax generate --vary clip.wav --keep 4

These continue a recording, regenerate part of it, or keep its coarse codebooks
and regenerate the rest. The recording can be in any supported format (see
docs/recordings.md), at any sample rate, and up to an hour long. A prompt
(generate "rain" --continue clip.wav) describes the new audio. The loudness
matches the recording, unless --loudness is given.

  siren-jax generate "a river" --seconds 3600 --out - | ffplay -

This streams a WAV to standard output as it is generated: one sound, one
candidate, no JSON file. With --seconds none, it never ends. Its loudness is not
normalised; --gain changes the level, and a limiter reduces peaks above full
scale.

  siren-jax generate --again sounds/rain-seed0.json

This regenerates one sound from its JSON file and names it after that file.
--again can only be combined with --out, --spectrogram and --model (if the model
has moved); to use another seed or setting, copy the command from the JSON file
and change it.
"""

import argparse
import dataclasses
import pathlib
import shlex

from siren_jax.cli import outputs, runtime
from siren_jax.cli.sounds import again, flags, make, recordings, stream
from siren_jax.cli.sounds.recordings import Recording
from siren_jax.common.errors import UserError, about

add_arguments = flags.add_arguments


def run(args: argparse.Namespace) -> None:
  flags.check(args)
  if args.again is not None:
    _make_again(args)
    return
  recording = recordings.given(args)
  vars(args).update(flags.DEFAULTS | runtime.given(args, *flags.DEFAULTS))
  prompts = _prompts(args, recording)
  if args.out == flags.STREAM:
    _stream(args, prompts, recording)
    return
  make.sounds(
    prompts,
    _path_of(args, max(1, len(prompts)) * args.num_samples, recording),
    args.model,
    args.seconds,
    args.seed,
    recording=recording,
    spectrogram=args.spectrogram,
    mesh=args.mesh,
    dtype=args.dtype,
    expand=not args.no_expand,
    num_samples=args.num_samples,
    sample=args.sample,
    candidates=args.candidates,
    **runtime.given(args, "batch_size"),
    **runtime.sampling(args),
    **flags.loudness(args),
  )
  print(f"try next: {_next_command(args, prompts, recording)}")


def _stream(
  args: argparse.Namespace, prompts: list[str], recording: Recording | None
) -> None:
  """Streams a sound to standard output."""
  stream.write(
    prompts,
    args.model,
    None if args.seconds == runtime.NONE else args.seconds,
    args.seed,
    recording=recording,
    mesh=args.mesh,
    dtype=args.dtype,
    expand=not args.no_expand,
    sample=args.sample,
    **runtime.given(args, "gain"),
    **runtime.sampling(args),
  )


def _make_again(args: argparse.Namespace) -> None:
  """Reproduces the sound of a JSON file."""
  facts = again.read(args.again)
  model, notes = again.model_of(args.again, facts, args.model)
  path_of = _path_of(args, 1, None)
  for note in notes:
    runtime.print_status(note)
  with about(args.again):
    make.sounds(
      [facts.prompt] if facts.prompt or not facts.recording else [],
      path_of,
      model,
      facts.seconds,
      facts.seed,
      recording=facts.recording,
      spectrogram=args.spectrogram,
      mesh=facts.mesh,
      batch_size=facts.batch_size,
      dtype=facts.dtype,
      expand=facts.expand,
      expanded_before=facts.expanded_prompt,
      loudness=facts.loudness,
      sample=facts.sample,
      **dataclasses.asdict(facts.settings),
    )


def _prompts(
  args: argparse.Namespace, recording: Recording | None
) -> list[str]:
  """Prompts from the arguments and the file; may be empty with a recording."""
  prompts = [p.strip() for p in args.prompts]
  if not all(prompts):
    raise UserError(
      'a prompt is empty; describe a sound: siren-jax generate "a dog barking"'
    )
  if args.file:
    from siren_jax.data.sources import tables

    prompts += tables.read_prompts(args.file)
  if not prompts and (args.file or recording is None):
    raise UserError(
      'no prompt; describe a sound: siren-jax generate "a dog barking"'
    )
  return prompts


def _path_of(
  args: argparse.Namespace, count: int, recording: Recording | None
) -> make.PathOf:
  """Function that names the file of a sound; checks early for errors."""
  if runtime.names_file(args.out):
    from siren_jax.audio import sound_files

    if count > 1:
      raise UserError(
        f"--out {args.out} is one file for {count} sounds; name a folder"
      )
    path = runtime.check_file(args.out, *sound_files.WRITTEN)
    return lambda *_: path
  folder = runtime.check_folder(args.out)
  if args.again is not None:
    path = folder / f"{pathlib.Path(args.again).stem}.wav"
    return lambda *_: path
  words, done = (recording.words, recording.done) if recording else ("", "")

  def path_of(number: int, prompt: str, sample: int) -> pathlib.Path:
    name = outputs.stem(prompt or words, args.seed, sample, done)
    return folder / f"{name}.wav"

  return path_of


def _next_command(
  args: argparse.Namespace, prompts: list[str], recording: Recording | None
) -> str:
  """A command worth trying after this one."""
  more = "" if args.spectrogram else " --spectrogram"
  model = f" --model {shlex.quote(args.model)}" if args.model else ""
  mesh = f" --mesh {shlex.quote(args.mesh)}" if args.mesh else ""
  dtype = f" --dtype {args.dtype}" if args.dtype else ""
  expand = " --no-expand" if args.no_expand else ""
  what = [*prompts[:1], *(recording.flags() if recording else [])]
  return (
    f"siren-jax generate {shlex.join(what)} --seed {args.seed + 1} "
    f"--num-samples 4 --out sounds{more}{model}{mesh}{dtype}{expand}"
  )
