// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {LINEAR, Network, PARAMETERS, Shapes, TABLE_LENGTH, Tensor, Term, VALUE_BITS, WEIGHTS_TENSOR} from "./Network.sol";
import {Points} from "./Points.sol";

/// @notice Where everything lies. A location is slot · 2^chunkBits + entry: the slot is the chunk's point among those of
///         the one multi-scalar multiplication, which has only chunks with a true entry.
struct Layout {
    uint256 chunkBits;
    /// @dev Rescale rows in blocks, and bits of their space; the same of lookup rows.
    uint256 rows;
    uint256 rowBits;
    uint256 looks;
    uint256 lookBits;
    /// @dev Bits of the table of tables.
    uint256 tableBits;
    /// @dev Committed columns of the rescale rows, and entries from one to the next.
    uint256 columns;
    uint256 columnLength;
    /// @dev Of the column y, of y of the lookup rows, of H of either, of m and G.
    uint256 trace;
    uint256 looked;
    uint256 helpers;
    uint256 lookHelpers;
    uint256 multiplicities;
    uint256 tableHelpers;
    uint256[] tables;
    /// @dev Points of each vector. Those of the proof come first, in its order, then A and B, then the model's.
    uint256 tracePoints;
    uint256 tablePoints;
    uint256 helperPoints;
    uint256 parameterPoints;
    /// @dev Rounds and degrees.
    uint256 rounds;
    uint256 degree;
    uint256 linearRounds;
    uint256 linearDegree;
    uint256 mapRounds;
    bool isMapped;
    /// @dev Values sent.
    uint256 weights;
    uint256 operands;
    uint256 mapped;
}

/// @title Layout: offsets computed from shapes, never read (circuits/layout.py)
/// @notice Blocks are powers of two long and lie in decreasing length, ties in the order given, so each is aligned. Cap:
///         spaces of rows have at most 2^22 entries.
library Layouts {
    /// @notice More rows than this verifier has memory for.
    error TooManyRows(uint256 maxBits, uint256 gotBits);

    uint256 private constant MAX_ROW_BITS = 22;
    /// @dev One more than the bits of the largest block of parameters.
    uint256 private constant BUCKETS = 33;

    function make(Network memory network, uint256 chunkBits) internal pure returns (Layout memory plan) {
        plan.chunkBits = chunkBits;
        (plan.rows, plan.rowBits) = _placeRows(network, true);
        if (network.lookups != 0) (plan.looks, plan.lookBits) = _placeRows(network, false);
        plan.tableBits = VALUE_BITS + Points.bitsOf(1 + network.tables);
        plan.columns = network.hasHighLimb ? 5 : 4;
        plan.degree = plan.columns + 1;
        plan.rounds = _max(plan.tableBits, _max(plan.rowBits, plan.lookBits));
        _placeVectors(network, plan);
        _placeParameters(network, plan);
        _countTerms(network, plan);
    }

    /// @notice All points of the multi-scalar multiplication.
    function countPoints(Layout memory plan) internal pure returns (uint256) {
        unchecked {
            return firstParameter(plan) + plan.parameterPoints;
        }
    }

    /// @notice Slot of the model's first commitment; A and B have the two before it.
    function firstParameter(Layout memory plan) internal pure returns (uint256) {
        unchecked {
            return plan.tracePoints + plan.helperPoints + 2 * plan.tablePoints + 2;
        }
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }

    // ---- buckets: stable sorting by length ----------------------------------------------------------------------

    /// @dev From lengths by bits to the start of each class, the longest first; returns the length of all.
    function _openBuckets(uint256[] memory buckets) private pure returns (uint256 end) {
        unchecked {
            for (uint256 bits = buckets.length; bits-- != 0;) {
                uint256 length = buckets[bits];
                buckets[bits] = end;
                end += length;
            }
        }
    }

    function _take(uint256[] memory buckets, uint256 bits, uint256 length) private pure returns (uint256 start) {
        unchecked {
            start = buckets[bits];
            buckets[bits] = start + length;
        }
    }

    // ---- rows ---------------------------------------------------------------------------------------------------

    function _placeRows(Network memory network, bool isLinear) private pure returns (uint256 live, uint256 bits) {
        unchecked {
            uint256[] memory buckets = new uint256[](BUCKETS);
            Tensor[] memory tensors = network.tensors;
            for (uint256 id = 1; id < tensors.length; ++id) {
                uint256 blockBits = tensors[id].bits;
                if ((tensors[id].code == LINEAR) == isLinear) buckets[blockBits] += 1 << blockBits;
            }
            live = _openBuckets(buckets);
            bits = Points.bitsOf(live);
            if (bits > MAX_ROW_BITS) revert TooManyRows(MAX_ROW_BITS, bits);
            for (uint256 id = 1; id < tensors.length; ++id) {
                uint256 blockBits = tensors[id].bits;
                if ((tensors[id].code == LINEAR) != isLinear) continue;
                tensors[id].start = _take(buckets, blockBits, 1 << blockBits);
            }
        }
    }

    /// @dev Length of a column without the chunks that hold no row.
    function _columnLength(uint256 live, uint256 bits, uint256 chunkBits) private pure returns (uint256) {
        return bits > chunkBits ? _countChunks(live, chunkBits) << chunkBits : 1 << bits;
    }

    function _countChunks(uint256 length, uint256 chunkBits) private pure returns (uint256) {
        unchecked {
            return (length + (1 << chunkBits) - 1) >> chunkBits;
        }
    }

    function _placeVectors(Network memory network, Layout memory plan) private pure {
        unchecked {
            uint256 chunkBits = plan.chunkBits;
            uint256 column = _columnLength(plan.rows, plan.rowBits, chunkBits);
            uint256 looks = network.lookups == 0 ? 0 : _columnLength(plan.looks, plan.lookBits, chunkBits);
            bool areLooksFirst = plan.lookBits > plan.rowBits;
            plan.columnLength = column;
            plan.trace = areLooksFirst ? looks : 0;
            plan.looked = areLooksFirst ? 0 : column * plan.columns;
            plan.tracePoints = _countChunks(looks + column * plan.columns, chunkBits);
            plan.tablePoints = _countChunks((1 + network.tables) * TABLE_LENGTH, chunkBits);
            plan.helperPoints = _countChunks(looks + column, chunkBits);
            uint256 slot = plan.tracePoints;
            plan.multiplicities = slot << chunkBits;
            slot += plan.tablePoints;
            plan.helpers = (slot << chunkBits) + plan.trace;
            plan.lookHelpers = (slot << chunkBits) + (areLooksFirst ? 0 : column);
            slot += plan.helperPoints;
            plan.tableHelpers = slot << chunkBits;
        }
    }

    // ---- parameters ---------------------------------------------------------------------------------------------

    /// @dev Length of a block without the chunks that hold no true parameter.
    function _liveLength(uint256[] memory sizes, uint256 bits, uint256 chunkBits) private pure returns (uint256) {
        unchecked {
            if (bits <= chunkBits) return 1 << bits;
            uint256 chunks = 1;
            uint256 low;
            for (uint256 i; i < sizes.length; ++i) {
                uint256 high = low + Points.bitsOf(sizes[i]);
                uint256 inside = high < chunkBits ? high - low : low < chunkBits ? chunkBits - low : 0;
                chunks *= ((sizes[i] - 1) >> inside) + 1;
                low = high;
            }
            return chunks << chunkBits;
        }
    }

    function _placeParameters(Network memory network, Layout memory plan) private pure {
        unchecked {
            uint256[] memory buckets = new uint256[](BUCKETS);
            plan.tables = new uint256[](network.tables);
            _visitParameters(network, plan, buckets, false);
            plan.parameterPoints = _countChunks(_openBuckets(buckets), plan.chunkBits);
            uint256 first = firstParameter(plan) << plan.chunkBits;
            for (uint256 bits; bits < BUCKETS; ++bits) {
                buckets[bits] += first;
            }
            _visitParameters(network, plan, buckets, true);
        }
    }

    /// @dev Weights, then biases, then tables: first their lengths are added up, then they are placed.
    function _visitParameters(Network memory network, Layout memory plan, uint256[] memory buckets, bool isPlacing)
        private
        pure
    {
        unchecked {
            Tensor[] memory tensors = network.tensors;
            for (uint256 id = 1; id < tensors.length; ++id) {
                Term[] memory terms = tensors[id].terms;
                for (uint256 t; t < terms.length; ++t) {
                    Term memory term = terms[t];
                    if (term.kind != PARAMETERS) continue;
                    uint256 length = _liveLength(term.sizes, term.weightsBits, plan.chunkBits);
                    uint256 start = _take(buckets, term.weightsBits, length);
                    if (isPlacing) term.location = start;
                }
            }
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                if (tensor.biasAxis == 0) continue;
                uint256 axis = tensor.biasAxis - 1;
                uint256 bits = Shapes.bitsAt(tensor, axis);
                uint256[] memory sizes = Shapes.single(Shapes.dimension(tensor.shape, axis));
                uint256 start = _take(buckets, bits, _liveLength(sizes, bits, plan.chunkBits));
                if (isPlacing) tensor.biasLocation = start;
            }
            for (uint256 t; t < network.tables; ++t) {
                uint256 start = _take(buckets, VALUE_BITS, TABLE_LENGTH);
                if (isPlacing) plan.tables[t] = start;
            }
        }
    }

    // ---- what is sent -------------------------------------------------------------------------------------------

    function _countTerms(Network memory network, Layout memory plan) private pure {
        unchecked {
            plan.linearDegree = 2;
            for (uint256 id = 1; id < network.tensors.length; ++id) {
                Term[] memory terms = network.tensors[id].terms;
                for (uint256 t; t < terms.length; ++t) {
                    Term memory term = terms[t];
                    plan.linearRounds = _max(plan.linearRounds, term.variables);
                    if (term.sharedBits != 0) plan.linearDegree = 3;
                    if (term.isMapped) {
                        plan.isMapped = true;
                        plan.mapRounds = _max(plan.mapRounds, term.mapBits);
                        if (term.operand != 0) ++plan.mapped;
                    }
                    if (isWeightSent(term)) ++plan.weights;
                    if (isOperandSent(term)) ++plan.operands;
                }
            }
        }
    }

    /// @notice Parameters and computed tensors; the public input is evaluated by the verifier.
    function isWeightSent(Term memory term) internal pure returns (bool) {
        return term.kind == PARAMETERS || (term.kind == WEIGHTS_TENSOR && term.tensor != 0);
    }

    function isOperandSent(Term memory term) internal pure returns (bool) {
        return term.operand != 0 || term.isMapped;
    }
}
