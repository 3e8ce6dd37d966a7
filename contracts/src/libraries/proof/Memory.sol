// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// The memory of a verification. Single words and tables have fixed positions: reading one costs 6 gas wherever it is
// needed, and no function carries a struct of fifty words. They lie in a region that is allocated once, at the start
// (Memory.begin), behind what the compiler keeps for itself and before everything allocated later.
//
// The words from IMAGE on say what the descriptor says. CircuitReader writes them and ProofVerifier copies them to the
// same positions, so records may point to each other.

/// @dev Factors of lanes (PublicTensor.sol), 8 words.
uint256 constant QUARTERS = 0x700;
/// @dev Lanes of a word of a public tensor (PublicTensor.sol), 16 words; messages of rounds while they are hashed
///      (Transcript.sol).
uint256 constant LANES = 0x800;
/// @dev r. As a literal at every use it costs more: the compiler then copies it from the code.
uint256 constant MODULUS = 0xa20;
/// @dev State of the transcript.
uint256 constant STATE = 0xa40;
/// @dev Calldata positions of the public tensors and of the proof's fields, in their order.
uint256 constant INPUT_DATA = 0xa60;
uint256 constant OUTPUT_DATA = 0xa80;
uint256 constant AT_POINTS = 0xaa0;
uint256 constant AT_ROW_ROUNDS = 0xac0;
uint256 constant AT_TOTALS = 0xae0;
uint256 constant AT_LOOKUP_TOTALS = 0xb00;
uint256 constant AT_TABLE = 0xb20;
uint256 constant AT_TABLE_VALUES = 0xb40;
uint256 constant AT_REST = 0xb60;
uint256 constant AT_LINEAR_ROUNDS = 0xb80;
uint256 constant AT_WEIGHTS = 0xba0;
uint256 constant AT_OPERANDS = 0xbc0;
uint256 constant AT_MAP_ROUNDS = 0xbe0;
uint256 constant AT_MAPPED = 0xc00;
uint256 constant AT_PARTS = 0xc20;
uint256 constant AT_QUOTIENT = 0xc40;
/// @dev Challenges.
uint256 constant ALPHA = 0xc60;
uint256 constant BETA = 0xc80;
uint256 constant SEPARATOR = 0xca0;
uint256 constant KAPPA = 0xcc0;
uint256 constant LAMBDA = 0xce0;
uint256 constant MU = 0xd00;
uint256 constant ZETA = 0xd20;
/// @dev Of the opening: ζ·μ^i for the next claim i, ζ·Σ μ^i·value_i, position of the multiplication's entries.
uint256 constant POWER = 0xd40;
uint256 constant VALUE = 0xd60;
uint256 constant ENTRIES = 0xd80;
/// @dev τ, at most 24 words.
uint256 constant TAU = 0xda0;
/// @dev Coordinates (Points.sol), 98 words.
uint256 constant COORDINATES = 0x10a0;
/// @dev Tables of at most 21 words: ζ^(2^j); 1 − ζ^(2^j); Π_{i<j} (1 + ζ^(2^i)); Π_{i<j} of the factors of σ.
uint256 constant POWERS = 0x1ce0;
uint256 constant SLOPES = 0x1f80;
uint256 constant SUMS = 0x2220;
uint256 constant SIGMAS = 0x24c0;

/// @dev Everything from here on is the reader's.
uint256 constant IMAGE = 0x2760;
uint256 constant CHUNK_BITS = 0x2760;
/// @dev Position behind the last tensor's record.
uint256 constant TENSORS_END = 0x2780;
/// @dev Record of the output.
uint256 constant OUTPUT_TENSOR = 0x27a0;
/// @dev Tables of functions; numbers of LINEAR and of TABLE operators.
uint256 constant TABLES = 0x27c0;
uint256 constant LAYERS = 0x27e0;
uint256 constant LOOKUPS = 0x2800;
/// @dev Rescale rows in blocks, and bits of their space; the same of lookup rows.
uint256 constant ROWS = 0x2820;
uint256 constant ROW_BITS = 0x2840;
uint256 constant LOOKS = 0x2860;
uint256 constant LOOK_BITS = 0x2880;
/// @dev Bits of the table of tables.
uint256 constant TABLE_BITS = 0x28a0;
/// @dev Committed columns of the rescale rows, and entries from one to the next.
uint256 constant COLUMNS = 0x28c0;
uint256 constant COLUMN_LENGTH = 0x28e0;
/// @dev Locations (Layout.sol): the column y, y of the lookup rows, H of either, m, G, tables of functions (15
///      words).
uint256 constant TRACE = 0x2900;
uint256 constant LOOKED = 0x2920;
uint256 constant HELPERS = 0x2940;
uint256 constant LOOK_HELPERS = 0x2960;
uint256 constant MULTIPLICITIES = 0x2980;
uint256 constant TABLE_HELPERS = 0x29a0;
uint256 constant TABLE_LOCATIONS = 0x29c0;
/// @dev Points of each vector; the slot of the model's first; all of them.
uint256 constant TRACE_POINTS = 0x2ba0;
uint256 constant TABLE_POINTS = 0x2bc0;
uint256 constant HELPER_POINTS = 0x2be0;
uint256 constant PARAMETER_POINTS = 0x2c00;
uint256 constant FIRST_PARAMETER = 0x2c20;
uint256 constant ALL_POINTS = 0x2c40;
/// @dev Rounds and degrees.
uint256 constant ROUNDS = 0x2c60;
uint256 constant DEGREE = 0x2c80;
uint256 constant LINEAR_ROUNDS = 0x2ca0;
uint256 constant LINEAR_DEGREE = 0x2cc0;
uint256 constant MAP_ROUNDS = 0x2ce0;
/// @dev Terms with maps, and values sent.
uint256 constant MAPS = 0x2d00;
uint256 constant WEIGHTS_SENT = 0x2d20;
uint256 constant OPERANDS_SENT = 0x2d40;
uint256 constant MAPPED_SENT = 0x2d60;
/// @dev Addresses of the contracts that hold the model's commitments, a word each: first, and behind the last.
uint256 constant PARTS = 0x2d80;
uint256 constant PARTS_END = 0x2da0;
/// @dev Whether the input is given as commitments; how many, and where the first is.
uint256 constant INPUT_COMMITTED = 0x2dc0;
uint256 constant INPUT_POINTS = 0x2de0;
uint256 constant INPUT_LOCATION = 0x2e00;
/// @dev Records of the tensors (Records.sol), the input's first.
uint256 constant TENSORS = 0x2e20;

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

    uint256 private constant FIRST = QUARTERS;
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

    /// @notice Ends the call and returns everything from IMAGE on.
    function returnImage() internal pure {
        assembly ("memory-safe") {
            return(IMAGE, sub(mload(0x40), IMAGE))
        }
    }

    /// @notice A copy of everything from IMAGE on.
    function copyImage() internal pure returns (bytes memory image) {
        assembly ("memory-safe") {
            image := mload(0x40)
            let size := sub(image, IMAGE)
            mstore(image, size)
            mcopy(add(image, 0x20), IMAGE, size)
            mstore(0x40, add(add(image, 0x20), size))
        }
    }

    /// @notice Copies an image that was stored as contract code behind one STOP byte (CodeStorage.sol).
    function loadStoredImage(address pointer) internal view {
        assembly ("memory-safe") {
            let size := sub(extcodesize(pointer), 1)
            extcodecopy(pointer, IMAGE, 1, size)
            mstore(0x40, add(IMAGE, size))
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
