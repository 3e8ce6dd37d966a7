// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// The memory of a verification. Single words and tables have fixed positions: reading one costs 6 gas wherever it is
// needed, and no function carries a struct of fifty words. They lie in a region that is allocated once, at the start
// (Memory.begin), behind what the compiler keeps for itself and before everything allocated later.
//
// The words from IMAGE on say what the descriptor says. CircuitReader writes them and ProofVerifier copies them to the
// same positions, so records may point to each other.

/// @dev What a loop does not keep on the stack, 8 words.
uint256 constant SCRATCH = 0x900;
/// @dev Lanes of a word of a public tensor (PublicTensor.sol), 16 words; messages of rounds while they are hashed
///      (Transcript.sol).
uint256 constant LANES = 0xa00;
/// @dev r. As a literal at every use it costs more: the compiler then copies it from the code.
uint256 constant MODULUS = 0xc20;
/// @dev State of the transcript.
uint256 constant STATE = 0xc40;
/// @dev Calldata positions of the public tensors and of the proof's fields, in their order.
uint256 constant INPUT_DATA = 0xc60;
uint256 constant OUTPUT_DATA = 0xc80;
uint256 constant AT_POINTS = 0xca0;
uint256 constant AT_ROW_ROUNDS = 0xcc0;
uint256 constant AT_TOTALS = 0xce0;
uint256 constant AT_LOOKUP_TOTALS = 0xd00;
uint256 constant AT_TABLE = 0xd20;
uint256 constant AT_TABLE_VALUES = 0xd40;
uint256 constant AT_REST = 0xd60;
uint256 constant AT_LINEAR_ROUNDS = 0xd80;
uint256 constant AT_WEIGHTS = 0xda0;
uint256 constant AT_OPERANDS = 0xdc0;
uint256 constant AT_MAP_ROUNDS = 0xde0;
uint256 constant AT_MAPPED = 0xe00;
uint256 constant AT_PARTS = 0xe20;
uint256 constant AT_QUOTIENT = 0xe40;
/// @dev Challenges.
uint256 constant ALPHA = 0xe60;
uint256 constant BETA = 0xe80;
uint256 constant SEPARATOR = 0xea0;
uint256 constant KAPPA = 0xec0;
uint256 constant LAMBDA = 0xee0;
uint256 constant MU = 0xf00;
uint256 constant ZETA = 0xf20;
/// @dev Of the opening: μ^i for the next claim i, Σ μ^i·value_i.
uint256 constant POWER = 0xf40;
uint256 constant VALUE = 0xf60;
/// @dev τ, at most 24 words.
uint256 constant TAU = 0xf80;
/// @dev Coordinates (Points.sol), 98 words.
uint256 constant COORDINATES = 0x1280;
/// @dev Tables of at most 21 words: ζ^(2^j); 1 − ζ^(2^j); Π_{i<j} (1 + ζ^(2^i)); Π_{i<j} of the factors of σ.
uint256 constant POWERS = 0x1ec0;
uint256 constant SLOPES = 0x2160;
uint256 constant SUMS = 0x2400;
uint256 constant SIGMAS = 0x26a0;

/// @dev Everything from here on is the reader's.
uint256 constant IMAGE = 0x2940;
uint256 constant CHUNK_BITS = 0x2940;
/// @dev Position behind the last tensor's record.
uint256 constant TENSORS_END = 0x2960;
/// @dev Record of the output.
uint256 constant OUTPUT_TENSOR = 0x2980;
/// @dev Tables of functions; numbers of LINEAR and of TABLE operators.
uint256 constant TABLES = 0x29a0;
uint256 constant LAYERS = 0x29c0;
uint256 constant LOOKUPS = 0x29e0;
/// @dev Rescale rows in blocks, and bits of their space; the same of lookup rows.
uint256 constant ROWS = 0x2a00;
uint256 constant ROW_BITS = 0x2a20;
uint256 constant LOOKS = 0x2a40;
uint256 constant LOOK_BITS = 0x2a60;
/// @dev Bits of the table of tables.
uint256 constant TABLE_BITS = 0x2a80;
/// @dev Committed columns of the rescale rows, and entries from one to the next.
uint256 constant COLUMNS = 0x2aa0;
uint256 constant COLUMN_LENGTH = 0x2ac0;
/// @dev Locations (Layout.sol): the column y, y of the lookup rows, H of either, m, G, tables of functions (15
///      words).
uint256 constant TRACE = 0x2ae0;
uint256 constant LOOKED = 0x2b00;
uint256 constant HELPERS = 0x2b20;
uint256 constant LOOK_HELPERS = 0x2b40;
uint256 constant MULTIPLICITIES = 0x2b60;
uint256 constant TABLE_HELPERS = 0x2b80;
uint256 constant TABLE_LOCATIONS = 0x2ba0;
/// @dev Points of each vector, the model's, whose slots are the first, and all of them.
uint256 constant TRACE_POINTS = 0x2d80;
uint256 constant TABLE_POINTS = 0x2da0;
uint256 constant HELPER_POINTS = 0x2dc0;
uint256 constant PARAMETER_POINTS = 0x2de0;
uint256 constant ALL_POINTS = 0x2e00;
/// @dev Position of the multiplication's entries, of which the image has the model's.
uint256 constant ENTRIES = 0x2e20;
/// @dev Rounds and degrees.
uint256 constant ROUNDS = 0x2e40;
uint256 constant DEGREE = 0x2e60;
uint256 constant LINEAR_ROUNDS = 0x2e80;
uint256 constant LINEAR_DEGREE = 0x2ea0;
uint256 constant MAP_ROUNDS = 0x2ec0;
/// @dev Terms with maps, and values sent.
uint256 constant MAPS = 0x2ee0;
uint256 constant WEIGHTS_SENT = 0x2f00;
uint256 constant OPERANDS_SENT = 0x2f20;
uint256 constant MAPPED_SENT = 0x2f40;
/// @dev Whether the input is given as commitments; how many, and where the first is.
uint256 constant INPUT_COMMITTED = 0x2f60;
uint256 constant INPUT_POINTS = 0x2f80;
uint256 constant INPUT_LOCATION = 0x2fa0;
/// @dev Records of the tensors (Records.sol), the input's first.
uint256 constant TENSORS = 0x2fc0;

/// @dev A point of 128 bytes and its scalar.
uint256 constant ENTRY_BYTES = 160;

/// @dev The word at a position of the memory.
function load(uint256 place) pure returns (uint256 word) {
    assembly ("memory-safe") {
        word := mload(place)
    }
}

function store(uint256 place, uint256 word) pure {
    assembly ("memory-safe") {
        mstore(place, word)
    }
}

/// @dev The word at a position of the calldata.
function read(uint256 place) pure returns (uint256 word) {
    assembly ("memory-safe") {
        word := calldataload(place)
    }
}

/// @title Memory with fixed positions
library Memory {
    /// @notice The memory before the fixed positions was used up.
    error NoRoom(uint256 freeMemory);

    uint256 private constant FIRST = SCRATCH;
    uint256 private constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    /// @notice Allocates the fixed positions, zeroed, and sets those of constants. Once, before any of them is used.
    function begin() internal pure {
        if (free() > FIRST) revert NoRoom(free());
        assembly ("memory-safe") {
            calldatacopy(FIRST, calldatasize(), sub(TENSORS, FIRST))
            mstore(0x40, TENSORS)
            mstore(MODULUS, R)
            // The coordinate 1 is the table's last entry.
            mstore(add(COORDINATES, 0xc20), 1)
        }
    }

    /// @notice Where the next allocation will begin.
    function free() internal pure returns (uint256 place) {
        place = load(0x40);
    }

    /// @notice Takes back everything allocated since `free` was `place`.
    function reset(uint256 place) internal pure {
        store(0x40, place);
    }

    /// @notice `size` zeroed bytes; a multiple of 32.
    function allocate(uint256 size) internal pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := mload(0x40)
            calldatacopy(place, calldatasize(), size)
            mstore(0x40, add(place, size))
        }
    }

    /// @notice Where the image ends: behind the entries of the model's points.
    function imageEnd() internal pure returns (uint256 place) {
        unchecked {
            return load(ENTRIES) + ENTRY_BYTES * load(PARAMETER_POINTS);
        }
    }

    /// @notice Ends the call and returns the image.
    function returnImage() internal pure {
        uint256 end = imageEnd();
        assembly ("memory-safe") {
            return(IMAGE, sub(end, IMAGE))
        }
    }

    /// @notice Copies what `reader` returns for this calldata to IMAGE. Reverts as the reader does.
    /// @dev Only for a callee whose code is known: nothing is checked.
    function loadImage(address reader, bytes memory data) internal view {
        assembly ("memory-safe") {
            let isSuccess := staticcall(gas(), reader, add(data, 0x20), mload(data), 0, 0)
            let size := returndatasize()
            returndatacopy(IMAGE, 0, size)
            if iszero(isSuccess) { revert(IMAGE, size) }
            mstore(0x40, add(IMAGE, size))
        }
    }
}
