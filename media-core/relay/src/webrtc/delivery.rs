//! Which RTCP leaves the interceptors' chain. Without a mark, all of it ends there.
//!
//! Not here: what is done with it (`peer`, `client`).

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::any::Any;
use std::collections::VecDeque;
use std::time::Instant;

/// Lets inbound RTCP through to the application that is wanted there.
pub(crate) struct Delivery {
    wanted: fn(&dyn Any) -> bool,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Delivery {
    /// Behind the report generators at 10 000 and 11 000, which must see everything first.
    pub(crate) const SLOT: usize = 11_500;

    pub(crate) const fn new(wanted: fn(&dyn Any) -> bool) -> Self {
        Self { wanted, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }
}

/// PLI (RFC 4585 §6.3.1) or FIR (RFC 5104 §4.3.1).
pub(crate) fn is_keyframe_request(packet: &dyn Any) -> bool {
    packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Delivery {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut tagged.message.packet {
            // The first packet's source decides to which track the stack gives the compound; one without is dropped.
            packets.retain(|p| (self.wanted)(p.as_any()) && !p.destination_ssrc().is_empty());
            if packets.is_empty() {
                return Ok(());
            }
            tagged.message.add(Attribute::DeliverToApplication);
        }
        self.inbound.push_back(tagged);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(tagged);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Delivery {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
