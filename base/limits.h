// Every limit of the exchange, in one place, with its unit in its name and its source beside it.
// POLICY (directory) may lower the ones marked *; it never raises them.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace tram::limits {

// Formats (protocol.md 3.2-3.4, 4.2, 8.7)
inline constexpr size_t chunk_bytes = 262144;                 // S
inline constexpr size_t chunk_overhead_bytes = 16;            // Poly1305 tag
inline constexpr size_t sealed_chunk_bytes = chunk_bytes + chunk_overhead_bytes;
inline constexpr uint32_t chunks_per_body_max = 8448;         // 2 GiB of files plus padding *
inline constexpr size_t inline_body_bytes_max = 65536;        // padded plaintext kept inside the store
inline constexpr size_t manifest_bytes_max = 16 + 32 * size_t{chunks_per_body_max};
inline constexpr size_t node_row_manifest_bytes_max = 4096;    // a node's row of a document keeps such a manifest: bodies of 31 MiB
inline constexpr size_t broker_row_manifest_bytes_max = 48u << 10;
inline constexpr size_t metadata_bytes = 4096;                // padded, for every document
inline constexpr size_t enc_metadata_bytes = metadata_bytes + 16;
inline constexpr size_t header_bytes_max = 236 + enc_metadata_bytes + 64;
inline constexpr size_t envelope_bytes = 400;
inline constexpr size_t officer_blob_bytes = 1024;
inline constexpr size_t cell_bytes = 1536;                    // control cells, R46
inline constexpr size_t receipt_text_bytes_max = 1024;
inline constexpr size_t body_floor_bytes = 1024;              // format floor; POLICY raises it *

// Frames and values
inline constexpr size_t control_frame_bytes_max = 131072;     // one protobuf frame; holds one inline body
inline constexpr size_t bulk_frame_bytes_max = 327680;        // manifests and raw chunks
inline constexpr size_t value_bytes_max = 69632;              // 68 KiB a store value
inline constexpr size_t key_bytes_max = 511;                  // LMDB
inline constexpr size_t envelopes_per_put_max = 64;
inline constexpr size_t items_per_frame_max = 256;            // any other repeated field
inline constexpr size_t reconcile_ids_per_page_max = 3000;    // x 32 bytes fits a control frame

// Flow (Z10, R17, R38, R39)
inline constexpr uint32_t chunk_credit = 10;                  // chunks in flight a connection
inline constexpr uint32_t unacked_per_recipient_lane_max = 256;  // K of R17
inline constexpr uint32_t lane_weight[4] = {8, 4, 2, 1};      // deficit round robin
inline constexpr uint32_t requests_in_flight_max = 128;       // node to one broker
inline constexpr size_t events_per_step_max = 256;            // group commit, R1
inline constexpr Duration group_commit_wait = milliseconds(6);  // how long a loop under load gathers before it commits
inline constexpr Duration load_window = milliseconds(100);    // under load: the last window had so many events
inline constexpr size_t going_bytes_max = 4u << 20;            // documents on their way that a node remembers
inline constexpr Duration directory_memory = seconds(1);      // how long a node relies on what the directory said
inline constexpr size_t sealed_answers_max = 1024;            // kept for the brokers that announce a moment later
inline constexpr Duration sealed_answer_age = minutes(10);    // sealed anew after that: the sender's keys move on
inline constexpr size_t wraps_at_once_max = 32;               // envelopes a step makes itself; more go to the workers
inline constexpr size_t node_busy_window_events_min = 110;    // 13 a document sent
inline constexpr size_t broker_busy_window_events_min = 40;   // 4 a document
inline constexpr uint64_t sender_pinned_bytes_max = 64ull << 30;      // *
inline constexpr uint32_t sender_unacked_envelopes_max = 200000;      // *
inline constexpr uint64_t sender_unpinned_bytes_max = 8ull << 30;     // leases *
inline constexpr uint32_t sender_puts_per_second_max = 20000;         // *

// Lifetimes (R6, R16, R19, R41)
inline constexpr Duration time_to_live = days(10);            // *
inline constexpr Duration grace = days(2);                    // G
inline constexpr Duration delta = minutes(10);                // Delta of R19
inline constexpr Duration retention = days(35);               // RET *
inline constexpr Duration lease = hours(24);
inline constexpr Duration gap_release = hours(24);            // T_gap, R11
inline constexpr size_t held_items_max = 10000;
inline constexpr uint64_t broker_retained_body_bytes_max = 4u << 20;  // R6
inline constexpr Duration kx_epoch = days(1);
inline constexpr uint32_t kx_epochs_ahead = 7;
inline constexpr uint32_t poison_attempts_max = 3;            // R44: the fourth time it is put aside

// Disk watermarks in percent of the map or file system (R42)
inline constexpr unsigned disk_refuse_bulk_percent = 80;
inline constexpr unsigned disk_refuse_all_but_control_percent = 90;
inline constexpr unsigned disk_acks_only_percent = 95;

// Documents (vietnam.md 4.3; protocol.md)
inline constexpr uint64_t document_bytes_max = 2ull << 30;
inline constexpr size_t files_per_document_max = 64;
inline constexpr size_t file_name_bytes_max = 255;
inline constexpr size_t recipients_per_document_max = 12000;
inline constexpr size_t organ_code_chars_max = 35;

// Scrub: how slowly everything is read, and how often at least (R24, 3.9)
inline constexpr size_t scrub_rows_per_second = 64;
inline constexpr uint64_t scrub_bytes_per_second = 4u << 20;  // of body files
inline constexpr size_t scrub_bodies_per_second = 32;
inline constexpr Duration scrub_every = days(3);              // from the start of a pass to the start of the next
inline constexpr Duration scrub_overdue = days(7);            // every row and body at least once in so long
inline constexpr uint32_t scrub_put_off_max = 9;              // busy seconds that are passed over for one that is not

// Directory (R25)
inline constexpr size_t directory_entry_bytes_max = 61440;
inline constexpr size_t directory_changes_per_entry_max = 128;
inline constexpr size_t root_officers_max = 16;
inline constexpr Duration suspension_by_one_officer = hours(72);
inline constexpr size_t units_per_agency_max = 512;
inline constexpr size_t agency_name_bytes_max = 400;

// Local API
inline constexpr size_t json_body_bytes_max = 1u << 20;
inline constexpr size_t json_depth_max = 64;
inline constexpr size_t page_items_max = 500;
inline constexpr size_t inline_file_bytes_max = 512u << 10;   // base64 in JSON; larger files use tus
inline constexpr size_t staged_content_bytes_max = 24u << 10;  // file contents inside a document's row; larger ones are staged as uploads
inline constexpr size_t upload_slot_bytes = 65536;            // staged uploads, sealed slot by slot
inline constexpr unsigned http_connections_max = 512;
inline constexpr Duration idempotency_kept = days(7);
inline constexpr Duration upload_kept = days(2);

// Logs and witnesses (protocol.md 4.3)
inline constexpr size_t leaves_per_page_max = 2048;           // leaf hashes a frame
inline constexpr size_t checkpoint_note_bytes_max = 8192;
inline constexpr Duration checkpoint_every = seconds(30);     // if the log has grown
inline constexpr Duration new_generation_after = hours(24);   // without the word of every broker
inline constexpr Duration new_generation_alone_after = minutes(10);  // without that of an independent witness
inline constexpr uint64_t leaves_refetched_max = 8u << 20;    // of a restored log; more open a new generation
inline constexpr uint64_t evidence_kept_max = 1000;

// Views of the directory (R27, R28)
inline constexpr Duration view_renewed_every = minutes(10);   // a witness's word for the view that it holds
inline constexpr Duration view_old_after = hours(24);         // not confirmed for so long: a warning,
inline constexpr Duration view_no_new_keys_after = hours(72); // no new keys, nothing confidential,
inline constexpr Duration view_no_sending_after = days(7);    // no new documents
inline constexpr size_t views_per_frame_max = 16;
inline constexpr size_t views_bytes_per_frame_max = 24u << 10;

// Heads (R14)
inline constexpr Duration head_after = minutes(15);           // a tail that has no receipt for so long is told
inline constexpr Duration head_again = hours(24);             // and again while it stays so

// Messages of proto/ (P-3, P-4)
inline constexpr size_t metadata_message_bytes_max = 256u << 10;
inline constexpr size_t approval_bytes_max = 32u << 20;       // a file, never a frame
inline constexpr size_t approval_entries_max = 65536;
inline constexpr size_t directory_signatures_per_entry_max = 2 * root_officers_max;  // R26: old set and new set
inline constexpr size_t kx_epochs_per_feed_max = 16;
inline constexpr size_t kx_feed_bytes_max = 2048;
inline constexpr size_t enrol_request_bytes_max = 4096;

// Broker (R38, R46)
inline constexpr uint64_t mail_per_party_max = 200000;        // small mail that waits, by author and by addressee
inline constexpr uint32_t mail_window = 512;                  // small mail in flight to one addressee
inline constexpr Duration mail_again_after = minutes(1);      // delivered once more when none of it was answered
inline constexpr uint32_t fetches_per_session_max = 1024;     // envelopes asked for and not yet sent
inline constexpr uint32_t chunk_requests_per_session_max = 64;
inline constexpr uint32_t sessions_per_party_max = 8;         // of each endpoint
inline constexpr Duration clock_tolerance = minutes(10);      // how far in the future `created` may lie

}  // namespace tram::limits
