// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Field} from "./Field.sol";
import {
    ALL_POINTS,
    CHUNK_BITS,
    COLUMNS,
    COLUMN_LENGTH,
    COORDINATES,
    DEGREE,
    HELPERS,
    HELPER_POINTS,
    INPUT_COMMITTED,
    INPUT_LOCATION,
    INPUT_POINTS,
    LINEAR_DEGREE,
    LINEAR_ROUNDS,
    LOOKED,
    LOOKS,
    LOOKUPS,
    LOOK_BITS,
    LOOK_HELPERS,
    MAPPED_SENT,
    MAPS,
    MAP_ROUNDS,
    MULTIPLICITIES,
    OPERANDS_SENT,
    PARAMETER_POINTS,
    ROUNDS,
    ROWS,
    ROW_BITS,
    TABLES,
    TABLE_BITS,
    TABLE_HELPERS,
    TABLE_LOCATIONS,
    TABLE_POINTS,
    TENSORS,
    TENSORS_END,
    TRACE,
    TRACE_POINTS,
    WEIGHTS_SENT,
    load,
    store
} from "./Memory.sol";
import {Points} from "./Points.sol";
import {
    BIAS_AXIS,
    BIAS_LOCATION,
    BITS,
    CODE,
    COEFFICIENT,
    FIRST_TERM,
    INPUT,
    IS_MAPPED,
    KIND,
    LINEAR,
    LOCATION,
    MAP_BITS,
    PARAMETERS,
    SHARED_BITS,
    SIZES,
    START,
    Sizes,
    TABLE,
    TABLE_LENGTH,
    TENSOR_BYTES,
    TERMS_END,
    TERM_BYTES,
    Tensor,
    Term,
    VALUE_BITS,
    VARIABLES,
    WEIGHTS_BITS
} from "./Records.sol";

/// @title Layout: where everything lies, computed from shapes, never read (circuits/layout.py)
/// @notice Blocks are powers of two long and lie in decreasing length, ties in the order given, so each is aligned.
///         A location is slot · 2^chunkBits + entry: the slot is the chunk's point among those of the one
///         multi-scalar multiplication, which has only chunks with a true entry: the model's, those of the proof in
///         its order, B, then those of a committed input. Cap: spaces of rows have at most 2^22 entries.
library Layout {
    /// @notice More rows than this verifier has memory for.
    error TooManyRows(uint256 maxBits, uint256 gotBits);

    uint256 private constant MAX_ROW_BITS = 22;
    /// @dev A word for each number of bits up to 32, and one for the set of those that occur.
    uint256 private constant USED = 0x420;
    uint256 private constant BUCKET_BYTES = 0x440;

    function make() internal pure {
        unchecked {
            // The verifier's coordinates are not used by the reader.
            uint256 buckets = COORDINATES;
            _placeRows(buckets, LINEAR, ROWS, ROW_BITS);
            if (load(LOOKUPS) != 0) _placeRows(buckets, TABLE, LOOKS, LOOK_BITS);
            store(TABLE_BITS, VALUE_BITS + Points.bitsOf(1 + load(TABLES)));
            store(DEGREE, load(COLUMNS) + 1);
            store(ROUNDS, _max(load(TABLE_BITS), _max(load(ROW_BITS), load(LOOK_BITS))));
            _placeParameters(buckets);
            _placeVectors();
            _countTerms();
        }
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }

    // ---- buckets: stable sorting by length ----------------------------------------------------------------------

    /// @dev Reserves a block's length in the class of its bits; once the buckets are open, returns where it starts.
    ///      The word behind the classes is the set of those that have blocks.
    function _take(uint256 buckets, uint256 bits, uint256 length) private pure returns (uint256 start) {
        assembly ("memory-safe") {
            let place := add(buckets, shl(5, bits))
            start := mload(place)
            mstore(place, add(start, length))
            let used := add(buckets, USED)
            mstore(used, or(mload(used), shl(bits, 1)))
        }
    }

    /// @dev From lengths by bits to the start of each class, the longest first, from `first` on.
    function _open(uint256 buckets, uint256 first) private pure returns (uint256 end) {
        assembly ("memory-safe") {
            end := first
            for { let used := mload(add(buckets, USED)) } used {} {
                let bits := sub(255, clz(used))
                used := xor(used, shl(bits, 1))
                let place := add(buckets, shl(5, bits))
                let length := mload(place)
                mstore(place, end)
                end := add(end, length)
            }
        }
    }

    function _clear(uint256 buckets) private pure {
        assembly ("memory-safe") {
            calldatacopy(buckets, calldatasize(), BUCKET_BYTES)
        }
    }

    // ---- rows ---------------------------------------------------------------------------------------------------

    function _placeRows(uint256 buckets, uint256 code, uint256 liveAt, uint256 bitsAt) private pure {
        unchecked {
            uint256 last = load(TENSORS_END);
            _clear(buckets);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                uint256 blockBits = Tensor.wrap(t).get(BITS);
                if (Tensor.wrap(t).get(CODE) == code) _take(buckets, blockBits, 1 << blockBits);
            }
            uint256 live = _open(buckets, 0);
            uint256 bits = Points.bitsOf(live);
            if (bits > MAX_ROW_BITS) revert TooManyRows(MAX_ROW_BITS, bits);
            store(liveAt, live);
            store(bitsAt, bits);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                uint256 blockBits = Tensor.wrap(t).get(BITS);
                if (Tensor.wrap(t).get(CODE) != code) continue;
                Tensor.wrap(t).set(START, _take(buckets, blockBits, 1 << blockBits));
            }
        }
    }

    /// @dev Length of a column without the chunks that hold no row.
    function _columnLength(uint256 live, uint256 bits, uint256 chunkBits) private pure returns (uint256) {
        unchecked {
            return bits > chunkBits ? _countChunks(live, chunkBits) << chunkBits : 1 << bits;
        }
    }

    function _countChunks(uint256 length, uint256 chunkBits) private pure returns (uint256) {
        unchecked {
            return (length + (1 << chunkBits) - 1) >> chunkBits;
        }
    }

    function _placeVectors() private pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 column = _columnLength(load(ROWS), load(ROW_BITS), chunkBits);
            uint256 columns = column * load(COLUMNS);
            uint256 looks = load(LOOKUPS) == 0 ? 0 : _columnLength(load(LOOKS), load(LOOK_BITS), chunkBits);
            bool areLooksFirst = load(LOOK_BITS) > load(ROW_BITS);
            uint256 trace = areLooksFirst ? looks : 0;
            uint256 tablePoints = _countChunks((1 + load(TABLES)) * TABLE_LENGTH, chunkBits);
            uint256 slot = load(PARAMETER_POINTS);
            store(COLUMN_LENGTH, column);
            store(TRACE, (slot << chunkBits) + trace);
            store(LOOKED, (slot << chunkBits) + (areLooksFirst ? 0 : columns));
            store(TRACE_POINTS, _countChunks(looks + columns, chunkBits));
            store(TABLE_POINTS, tablePoints);
            slot += load(TRACE_POINTS);
            store(MULTIPLICITIES, slot << chunkBits);
            slot += tablePoints;
            store(HELPERS, (slot << chunkBits) + trace);
            store(LOOK_HELPERS, (slot << chunkBits) + (areLooksFirst ? 0 : column));
            uint256 helperPoints = _countChunks(looks + column, chunkBits);
            store(HELPER_POINTS, helperPoints);
            slot += helperPoints;
            store(TABLE_HELPERS, slot << chunkBits);
            slot += tablePoints + 1;
            store(INPUT_LOCATION, slot << chunkBits);
            if (load(INPUT_COMMITTED) != 0) {
                Tensor input = Tensor.wrap(TENSORS);
                uint256 length = _liveLength(Sizes.ofTensor(input), input.get(BITS), chunkBits);
                store(INPUT_POINTS, _countChunks(length, chunkBits));
            }
            store(ALL_POINTS, slot + load(INPUT_POINTS));
        }
    }

    // ---- parameters ---------------------------------------------------------------------------------------------

    /// @dev Length of a block without the chunks that hold no true parameter; `sizes` as in Sizes.
    function _liveLength(uint256 sizes, uint256 bits, uint256 chunkBits) private pure returns (uint256) {
        unchecked {
            if (bits <= chunkBits) return 1 << bits;
            uint256 chunks = 1;
            uint256 low;
            uint256 last = sizes + 32 * load(sizes);
            while (sizes < last) {
                sizes += 32;
                uint256 size = load(sizes);
                uint256 high = low + Points.bitsOf(size);
                uint256 inside = high < chunkBits ? high - low : low < chunkBits ? chunkBits - low : 0;
                chunks *= ((size - 1) >> inside) + 1;
                low = high;
            }
            return chunks << chunkBits;
        }
    }

    function _placeParameters(uint256 buckets) private pure {
        unchecked {
            _clear(buckets);
            _visitParameters(buckets);
            store(PARAMETER_POINTS, _countChunks(_open(buckets, 0), load(CHUNK_BITS)));
            _visitParameters(buckets);
        }
    }

    /// @dev Weights, then biases, then tables: at the first visit their lengths are added up, at the second they are
    ///      placed, over what the first one left.
    function _visitParameters(uint256 buckets) private pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                _visitTerms(buckets, Tensor.wrap(t), chunkBits);
            }
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                _visitBias(buckets, Tensor.wrap(t), chunkBits);
            }
            uint256 tables = load(TABLES);
            for (uint256 t; t < tables; ++t) {
                store(TABLE_LOCATIONS + 32 * t, _take(buckets, VALUE_BITS, TABLE_LENGTH));
            }
        }
    }

    function _visitTerms(uint256 buckets, Tensor tensor, uint256 chunkBits) private pure {
        unchecked {
            uint256 last = tensor.get(TERMS_END);
            for (uint256 t = tensor.get(FIRST_TERM); t < last; t += TERM_BYTES) {
                Term term = Term.wrap(t);
                if (term.get(KIND) != PARAMETERS) continue;
                uint256 bits = term.get(WEIGHTS_BITS);
                term.set(LOCATION, _take(buckets, bits, _liveLength(term.get(SIZES), bits, chunkBits)));
            }
        }
    }

    function _visitBias(uint256 buckets, Tensor tensor, uint256 chunkBits) private pure {
        unchecked {
            uint256 axis = tensor.get(BIAS_AXIS);
            if (axis == 0) return;
            uint256 bits = tensor.bitsAt(axis - 1);
            uint256 length = 1 << bits;
            if (bits > chunkBits) length = _liveLength(Sizes.single(tensor.dimension(axis - 1)), bits, chunkBits);
            tensor.set(BIAS_LOCATION, _take(buckets, bits, length));
        }
    }

    // ---- what is sent -------------------------------------------------------------------------------------------

    function _countTerms() private pure {
        unchecked {
            store(LINEAR_DEGREE, 2);
            _eachTerm(_countTerm);
            _eachTerm(_scaleTerm);
        }
    }

    function _eachTerm(function(Term) pure visit) private pure {
        unchecked {
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                uint256 end = Tensor.wrap(t).get(TERMS_END);
                for (uint256 u = Tensor.wrap(t).get(FIRST_TERM); u < end; u += TERM_BYTES) {
                    visit(Term.wrap(u));
                }
            }
        }
    }

    /// @dev Once it is known how many variables the sumcheck has.
    function _scaleTerm(Term term) private pure {
        unchecked {
            uint256 scale = Field.inversePowerOfTwo(load(LINEAR_ROUNDS) - term.get(VARIABLES));
            term.set(COEFFICIENT, Field.mul(term.get(COEFFICIENT), scale));
        }
    }

    function _countTerm(Term term) private pure {
        store(LINEAR_ROUNDS, _max(load(LINEAR_ROUNDS), term.get(VARIABLES)));
        if (term.get(SHARED_BITS) != 0) store(LINEAR_DEGREE, 3);
        if (term.isWeightSent()) _increment(WEIGHTS_SENT);
        if (term.isOperandSent()) _increment(OPERANDS_SENT);
        if (term.get(IS_MAPPED) == 0) return;
        _increment(MAPS);
        store(MAP_ROUNDS, _max(load(MAP_ROUNDS), term.get(MAP_BITS)));
        if (term.operand().get(CODE) != INPUT) _increment(MAPPED_SENT);
    }

    function _increment(uint256 place) private pure {
        unchecked {
            store(place, load(place) + 1);
        }
    }
}
