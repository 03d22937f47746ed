#include "tests/bench/realm_files.h"

#include "base/io/clock.h"
#include "base/io/secret_input.h"
#include "tests/bench/measure.h"

namespace bench {

using namespace tram;

namespace {
constexpr size_t record_bytes = 16 + 3 * 32;
}

Agency make_agency(Random& random) {
  return {random.id<PartyId>(), crypto::make_secret(random), crypto::make_secret(random), crypto::make_secret(random)};
}

void save_agencies(const std::string& path, std::span<const Agency> agencies) {
  Bytes out;
  Writer writer(out);
  for (const auto& agency : agencies) {
    writer.raw(agency.id.view())
        .raw(agency.sig_seed.view())
        .raw(agency.curve_secret.view())
        .raw(agency.kx_secret.view());
  }
  must(io::write_private_file_atomic(path, out).has_value(), path);
}

std::vector<Agency> load_agencies(const std::string& path, size_t first, size_t limit) {
  const auto file = io::read_private_file(path, 64u << 20);
  must(file.has_value(), path);
  Reader reader(file->view());
  std::vector<Agency> out;
  for (size_t i = 0; reader.left() >= record_bytes && out.size() < limit; ++i) {
    Agency agency{PartyId{reader.array<16>()}, crypto::Secret32(reader.raw(32)), crypto::Secret32(reader.raw(32)),
                  crypto::Secret32(reader.raw(32))};
    if (i >= first) out.push_back(std::move(agency));
  }
  return out;
}

BrokerAddress parse_broker(std::string_view text) {
  const auto comma = text.rfind(',');
  must(comma != std::string_view::npos && CurvePublic::parse(text.substr(comma + 1)), "--broker ENDPOINT,CURVE_HEX");
  return {std::string(text.substr(0, comma)), std::string(text.substr(comma + 1))};
}

BrokerClient::BrokerClient(io::Context& context, const BrokerAddress& broker, const Agency& agency) {
  io::ClientOptions options;
  options.socket.secret_key = agency.curve_secret.view();
  options.endpoint = broker.control_endpoint;
  options.server_key = *CurvePublic::parse(broker.curve_hex);
  auto opened = io::ClientSocket::open(context, options);
  must(opened.has_value(), "a socket to the broker");
  socket_ = std::move(*opened);
  const double deadline = wall_seconds() + 20;
  while (!socket_->connected()) {
    must(wall_seconds() < deadline, "connecting to " + broker.control_endpoint);
    std::vector<io::PollItem> items;
    socket_->add_poll_items(items);
    io::poll(items, 100);
    (void)socket_->maintain(io::monotonic_now());
  }
  send_or_end({1, proto::Hello{proto::wire_version, 1, 0, "bench"}});
  while (true) {
    const auto frame = receive(20);
    must(frame.has_value(), "HelloReply");
    if (const auto* reply = std::get_if<proto::HelloReply>(&frame->body)) {
      hello_ = *reply;
      return;
    }
    if (const auto* refused = std::get_if<proto::Refused>(&frame->body))
      must(false, "Hello, refused: " + refused->detail);
  }
}

std::optional<proto::Frame> BrokerClient::receive(double seconds) {
  const double deadline = wall_seconds() + seconds;
  while (true) {
    if (auto got = socket_->receive()) {
      auto frame = proto::decode_frame(got->frame, proto::Endpoint::control);
      must(frame.has_value(), "a frame from the broker");
      return std::move(*frame);
    }
    const double left = deadline - wall_seconds();
    if (left <= 0) return std::nullopt;
    std::vector<io::PollItem> items;
    socket_->add_poll_items(items);
    io::poll(items, static_cast<int>(std::min(left, 1.0) * 1000) + 1);
    for (const auto event : socket_->maintain(io::monotonic_now()))
      must(event == io::LinkEvent::connected, "the connection to the broker");
  }
}

bool BrokerClient::send(BytesView frame) { return socket_->send(frame).has_value(); }

void BrokerClient::send_or_end(const proto::Frame& frame) { must(send(proto::encode_frame(frame)), "send"); }

}  // namespace bench
