"""What the contracts allow, for those who refuse early. A test holds these equal to `contracts/src`."""

from oracle.records import Address

MAX_CALLBACK_GAS = 5_000_000
MAX_HORIZON_SECONDS = 30 * 86_400
MAX_WINDOW_SECONDS = 7 * 86_400
ERC1271_GAS = 400_000
ZERO_ADDRESS = Address("0x0000000000000000000000000000000000000000")
