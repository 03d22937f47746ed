// Signed notes, checkpoints and cosignature lines.
#include "crypto/note.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

void one_input(BytesView in) {
  if (const auto note = crypto::decode_note(in)) {
    require(in.size() <= crypto::note_bytes_max, "a note has a largest size");
    require(equal(crypto::encode_note(*note), in), "one note is written in one way");
    for (const auto& one : note->signatures) {
      const auto line = crypto::decode_note_signature_line(crypto::note_signature_line(one));
      require(line && line->name == one.name && line->key_id == one.key_id && line->signature == one.signature,
              "a signature line is read as it is written");
    }
    if (const auto checkpoint = crypto::decode_checkpoint_text(note->text))
      require(crypto::checkpoint_text(*checkpoint) == note->text, "one checkpoint is written in one way");
  } else {
    const ErrorCode code = note.error().code;
    require(code == ErrorCode::bad_format || code == ErrorCode::too_large, "a refusal has its error");
  }
  if (const auto line = crypto::decode_note_signature_line(text(in)))
    require(crypto::note_signature_line(*line) == text(in), "one signature line is written in one way");
}

}  // namespace tram::fuzz
