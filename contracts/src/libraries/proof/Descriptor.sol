// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {
    INPUT,
    LIMB_SHIFT,
    LINEAR,
    Network,
    OUTPUT,
    Shapes,
    TABLE,
    Tensor,
    Term,
    VALUE_BITS
} from "./Network.sol";
import {Points} from "./Points.sol";
import {Terms} from "./Terms.sol";
import {Reader, Words} from "./Words.sol";

/// @title The descriptor of a network: parsed, and refused unless every rule holds
/// @notice Descriptors come from anybody. What is accepted has exactly one meaning and one encoding; circuits/network.py
///         has the same rules.
library Descriptor {
    uint256 private constant MAGIC = 0x41464332;
    uint256 private constant MAX_RANK = 6;
    uint256 private constant MAX_OPERATORS = 254;
    uint256 private constant MAX_TABLES = 15;
    uint256 private constant MAX_TERMS = 8;
    uint256 private constant MAX_ELEMENTS = 1 << 22;
    int256 private constant MAX_EXPONENT = 64;

    /// @notice Reads all of `data`. Terms keep pointing into it.
    function parse(bytes memory data) internal pure returns (Network memory network) {
        unchecked {
            Reader memory reader = Words.open(data);
            uint256 header = Words.next(reader);
            Words.demand(header >> 224 == MAGIC && uint160(header) == 0, "header");
            uint256 operators = uint256(uint32(header >> 192)) - 2;
            Words.demand(operators != 0 && operators <= MAX_OPERATORS, "operators");
            network.tables = uint32(header >> 160);
            network.tensors = new Tensor[](operators + 1);
            _readInput(reader, network.tensors[0]);
            for (uint256 id = 1; id <= operators; ++id) {
                _readOperator(reader, network, id);
            }
            _readOutput(reader, network);
            Words.demand(reader.place == reader.end, "trailing words");
            Words.demand(reader.tables == network.tables && network.layers != 0, "counts");
            Words.demand(reader.used == (2 << operators) - 1, "unused operator");
        }
    }

    // ---- tensors ----------------------------------------------------------------------------------------------

    /// @dev Checks the dimensions in the low 24 bytes of `word` and returns their product.
    function _sizeOf(uint256 word, uint256 rank) private pure returns (uint256 size) {
        unchecked {
            Words.demand(rank <= MAX_RANK, "rank");
            size = 1;
            for (uint256 a; a < MAX_RANK; ++a) {
                uint256 dimension = Shapes.dimension(word, a);
                Words.demand((dimension != 0) == (a < rank), "dimensions");
                if (a < rank) size *= dimension;
                Words.demand(size <= MAX_ELEMENTS, "elements");
            }
        }
    }

    function _setTensor(Tensor memory tensor, uint256 code, uint256 word, uint256 rank, uint256 format) private pure {
        unchecked {
            Words.demand(rank != 0 && _sizeOf(word, rank) != 0, "rank");
            Words.demand(format <= 1, "format");
            uint256 low;
            uint256 axes;
            for (uint256 a = rank; a-- != 0;) {
                uint256 bits = Points.bitsOf(Shapes.dimension(word, a));
                axes |= (bits | (low << 8)) << (16 * a);
                low += bits;
            }
            (tensor.code, tensor.rank, tensor.shape, tensor.axes) = (code, rank, uint192(word), axes);
            (tensor.bits, tensor.offset) = (low, format << (VALUE_BITS - 1));
        }
    }

    function _requireExponent(uint256 word) private pure {
        int256 exponent = Words.int32At(word);
        Words.demand(exponent <= MAX_EXPONENT && exponent >= -MAX_EXPONENT, "exponent");
    }

    function _readInput(Reader memory reader, Tensor memory tensor) private pure {
        uint256 word = Words.next(reader);
        Words.demand(word >> 248 == INPUT && Words.byteAt(word, 3) == 0, "input");
        _requireExponent(word >> 192);
        _setTensor(tensor, INPUT, word, Words.byteAt(word, 1), Words.byteAt(word, 2));
    }

    function _readOutput(Reader memory reader, Network memory network) private pure {
        unchecked {
            uint256 word = Words.next(reader);
            uint256 dimensions = Words.next(reader);
            uint256 operand = uint32(word >> 192);
            Words.demand(word >> 248 == OUTPUT && Words.byteAt(word, 3) == 0 && uint160(word) == 0, "output");
            Words.demand(dimensions >> 192 == 0 && operand - 1 < network.tensors.length - 1, "output operand");
            _requireExponent(word >> 160);
            Tensor memory tensor = network.tensors[operand];
            uint256 size = _sizeOf(dimensions, Words.byteAt(word, 1));
            Words.demand(size == _sizeOf(tensor.shape, tensor.rank), "output size");
            Words.demand(Words.byteAt(word, 2) << (VALUE_BITS - 1) == tensor.offset, "output format");
            network.output = operand;
            reader.used |= 1 << operand;
        }
    }

    // ---- operators --------------------------------------------------------------------------------------------

    function _readOperator(Reader memory reader, Network memory network, uint256 id) private pure {
        uint256 word = Words.next(reader);
        if (word >> 248 == LINEAR) {
            _readLinear(reader, network, id, word);
        } else {
            Words.demand(word >> 248 == TABLE, "operator code");
            _readTable(reader, network, id, word);
        }
    }

    function _readTable(Reader memory reader, Network memory network, uint256 id, uint256 word) private pure {
        unchecked {
            Tensor memory tensor = network.tensors[id];
            (uint256 table, uint256 format) = (Words.byteAt(word, 1), Words.byteAt(word, 2));
            uint256 operand = Words.readOperand(reader, id, word >> 192);
            _setTensor(tensor, TABLE, word, Words.byteAt(word, 3), format);
            Words.demand(tensor.shape == network.tensors[operand].shape, "table shape");
            Words.demand(table <= reader.tables && table < MAX_TABLES, "table number");
            if (table == reader.tables) {
                reader.tables = table + 1;
                reader.signedTables |= format << table;
            }
            Words.demand((reader.signedTables >> table) & 1 == format, "table format");
            (tensor.operand, tensor.table) = (operand, table);
            ++network.lookups;
        }
    }

    function _readLinear(Reader memory reader, Network memory network, uint256 id, uint256 word) private pure {
        unchecked {
            Tensor memory tensor = network.tensors[id];
            _setTensor(tensor, LINEAR, word, Words.byteAt(word, 3), Words.byteAt(word, 2));
            (uint256 shift, uint256 terms) = (Words.byteAt(word, 1), Words.byteAt(word, 4));
            Words.demand(shift == VALUE_BITS || shift == LIMB_SHIFT, "shift");
            Words.demand(terms != 0 && terms <= MAX_TERMS, "terms");
            (tensor.shift, tensor.biasAxis) = (shift, Words.byteAt(word, 5));
            Words.demand(tensor.biasAxis <= tensor.rank && uint16(word >> 192) == 0, "bias axis");
            network.hasHighLimb = network.hasHighLimb || shift == LIMB_SHIFT;
            ++network.layers;
            tensor.terms = new Term[](terms);
            for (uint256 t; t < terms; ++t) {
                Terms.read(reader, network.tensors, id, tensor.terms[t]);
            }
        }
    }
}
