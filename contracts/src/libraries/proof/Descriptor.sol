// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {
    COLUMNS,
    INPUT_COMMITTED,
    LAYERS,
    LOOKUPS,
    Memory,
    OUTPUT_TENSOR,
    TABLES,
    TENSORS,
    TENSORS_END,
    load,
    store
} from "./Memory.sol";
import {Points} from "./Points.sol";
import {
    AXES,
    AXIS,
    AXIS_WORDS,
    BIAS_AXIS,
    BITS,
    CODE,
    COEFFICIENT,
    FIRST_TERM,
    INPUT,
    KIND,
    LIMB_SHIFT,
    LINEAR,
    LOOKUP_OPERAND,
    LOOKUP_TABLE,
    NO_AXIS,
    NO_WEIGHTS,
    OFFSET,
    OUTPUT,
    RANK,
    SHAPE,
    SHIFT,
    SIZE,
    TABLE,
    TENSOR_BYTES,
    TERMS_END,
    TERM_BYTES,
    Tensor,
    Term,
    VALUE_BITS,
    dimensionOf
} from "./Records.sol";
import {Terms} from "./Terms.sol";
import {Reader, Words} from "./Words.sol";

/// @title The descriptor of a network: read into records, and refused unless every rule holds
/// @notice Descriptors come from anybody. What is accepted has exactly one meaning and one encoding;
///         circuits/network.py has the same rules.
library Descriptor {
    uint256 private constant MAGIC = 0x41464332;
    uint256 private constant MAX_RANK = 6;
    uint256 private constant MAX_OPERATORS = 254;
    uint256 private constant MAX_TABLES = 15;
    uint256 private constant MAX_TERMS = 8;
    uint256 private constant MAX_ELEMENTS = 1 << 22;
    uint256 private constant MAX_INPUT_BITS = 22;
    int256 private constant MAX_EXPONENT = 64;
    uint256 private constant FEW_COLUMNS = 4;

    /// @notice Reads all of `data`. Terms keep pointing into it. Must allocate first after the fixed positions.
    function parse(Reader memory reader) internal pure {
        unchecked {
            uint256 header = Words.next(reader);
            if (header >> 224 != MAGIC || uint160(header) != 0) Words.refuse("header");
            uint256 operators = uint256(uint32(header >> 192)) - 2;
            if (operators == 0 || operators > MAX_OPERATORS) Words.refuse("operators");
            store(TABLES, uint32(header >> 160));
            store(TENSORS_END, TENSORS + TENSOR_BYTES * (operators + 1));
            store(COLUMNS, FEW_COLUMNS);
            _readInput(reader);
            for (uint256 id = 1; id <= operators; ++id) {
                _readOperator(reader, id);
            }
            if (load(INPUT_COMMITTED) != 0) _requireIdentity(_tensor(1));
            _readOutput(reader, operators);
            if (reader.place != reader.end) Words.refuse("trailing words");
            if (reader.tables != load(TABLES)) Words.refuse("number of tables");
            if (load(LAYERS) == 0) Words.refuse("no linear operator");
            if (reader.used != (2 << operators) - 1) Words.refuse("unused operator");
        }
    }

    /// @notice Bytes of the records of a descriptor's tensors; 0 if it is not one.
    function recordBytes(uint256 header) internal pure returns (uint256) {
        unchecked {
            uint256 operators = uint256(uint32(header >> 192)) - 2;
            return operators > MAX_OPERATORS ? 0 : TENSOR_BYTES * (operators + 1);
        }
    }

    // ---- tensors ----------------------------------------------------------------------------------------------

    function _tensor(uint256 id) private pure returns (Tensor) {
        unchecked {
            return Tensor.wrap(TENSORS + TENSOR_BYTES * id);
        }
    }

    function _setTensor(Tensor tensor, uint256 code, uint256 word, uint256 rank, uint256 format) private pure {
        unchecked {
            if (rank == 0) Words.refuse("rank");
            if (format > 1) Words.refuse("format");
            tensor.set(SIZE, _sizeOf(word, rank));
            uint256 low;
            uint256 axes;
            for (uint256 a = rank; a-- != 0;) {
                uint256 bits = Points.bitsOf(dimensionOf(word, a));
                axes |= (bits | (low << 8)) << (16 * a);
                low += bits;
            }
            tensor.set(CODE, code);
            tensor.set(RANK, rank);
            tensor.set(SHAPE, uint192(word));
            tensor.set(AXES, axes);
            tensor.set(BITS, low);
            tensor.set(OFFSET, format << (VALUE_BITS - 1));
        }
    }

    /// @dev Checks the dimensions in the low 24 bytes of `word` and returns their product.
    function _sizeOf(uint256 word, uint256 rank) private pure returns (uint256 size) {
        unchecked {
            if (rank > MAX_RANK) Words.refuse("rank");
            size = 1;
            for (uint256 a; a < rank; ++a) {
                size *= dimensionOf(word, a);
                if (size - 1 >= MAX_ELEMENTS) Words.refuse("elements");
            }
            if (word << (64 + 32 * rank) != 0) Words.refuse("dimensions");
        }
    }

    function _requireExponent(uint256 word) private pure {
        int256 exponent = Words.int32At(word);
        if (exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT) Words.refuse("exponent");
    }

    function _readInput(Reader memory reader) private pure {
        uint256 word = Words.next(reader);
        if (word >> 248 != INPUT || Words.byteAt(word, 3) > 1) Words.refuse("input");
        store(INPUT_COMMITTED, Words.byteAt(word, 3));
        _requireExponent(word >> 192);
        _setTensor(_tensor(0), INPUT, word, Words.byteAt(word, 1), Words.byteAt(word, 2));
        if (_tensor(0).get(BITS) > MAX_INPUT_BITS) Words.refuse("input block");
    }

    /// @dev The rescale that gives the input as it is, where it is in range: what operator 1 of a committed input
    ///      must be.
    function _requireIdentity(Tensor tensor) private pure {
        unchecked {
            Tensor input = _tensor(0);
            Term term = Term.wrap(tensor.get(FIRST_TERM));
            bool isSame = tensor.get(SHAPE) == input.get(SHAPE) && tensor.get(OFFSET) == input.get(OFFSET);
            bool isPlain = tensor.get(SHIFT) == VALUE_BITS && tensor.get(BIAS_AXIS) == 0;
            bool isAlone = tensor.get(TERMS_END) - Term.unwrap(term) == TERM_BYTES && term.get(KIND) == NO_WEIGHTS;
            bool isUnit = term.get(COEFFICIENT) == 1 << VALUE_BITS;
            if (!(isSame && isPlain && isAlone && isUnit)) Words.refuse("identity");
            for (uint256 a = input.get(RANK); a-- != 0;) {
                uint256 direct = (AXIS << 248) | (a << 232) | (NO_AXIS << 216);
                if (load(term.get(AXIS_WORDS) + 32 * a) != direct) Words.refuse("identity");
            }
        }
    }

    function _readOutput(Reader memory reader, uint256 operators) private pure {
        unchecked {
            uint256 word = Words.next(reader);
            uint256 dimensions = Words.next(reader);
            uint256 operand = uint32(word >> 192);
            if (word >> 248 != OUTPUT || Words.byteAt(word, 3) != 0 || uint160(word) != 0) Words.refuse("output");
            if (dimensions >> 192 != 0 || operand - 1 >= operators) Words.refuse("output operand");
            _requireExponent(word >> 160);
            Tensor tensor = _tensor(operand);
            if (_sizeOf(dimensions, Words.byteAt(word, 1)) != tensor.get(SIZE)) Words.refuse("output size");
            if (Words.byteAt(word, 2) << (VALUE_BITS - 1) != tensor.get(OFFSET)) Words.refuse("output format");
            store(OUTPUT_TENSOR, Tensor.unwrap(tensor));
            reader.used |= 1 << operand;
        }
    }

    // ---- operators --------------------------------------------------------------------------------------------

    function _readOperator(Reader memory reader, uint256 id) private pure {
        uint256 word = Words.next(reader);
        uint256 code = word >> 248;
        if (code == LINEAR) _readLinear(reader, id, word);
        else if (code == TABLE) _readTable(reader, id, word);
        else Words.refuse("operator code");
    }

    function _readTable(Reader memory reader, uint256 id, uint256 word) private pure {
        unchecked {
            Tensor tensor = _tensor(id);
            uint256 table = Words.byteAt(word, 1);
            uint256 format = Words.byteAt(word, 2);
            Tensor operand = _tensor(Words.readOperand(reader, id, word >> 192));
            _setTensor(tensor, TABLE, word, Words.byteAt(word, 3), format);
            if (tensor.get(SHAPE) != operand.get(SHAPE)) Words.refuse("table shape");
            if (table > reader.tables || table >= MAX_TABLES) Words.refuse("table number");
            if (table == reader.tables) {
                reader.tables = table + 1;
                reader.signedTables |= format << table;
            }
            if ((reader.signedTables >> table) & 1 != format) Words.refuse("table format");
            tensor.set(LOOKUP_OPERAND, Tensor.unwrap(operand));
            tensor.set(LOOKUP_TABLE, table);
            store(LOOKUPS, load(LOOKUPS) + 1);
        }
    }

    function _readLinear(Reader memory reader, uint256 id, uint256 word) private pure {
        unchecked {
            Tensor tensor = _tensor(id);
            _setTensor(tensor, LINEAR, word, Words.byteAt(word, 3), Words.byteAt(word, 2));
            uint256 shift = Words.byteAt(word, 1);
            uint256 terms = Words.byteAt(word, 4);
            uint256 biasAxis = Words.byteAt(word, 5);
            if (shift != VALUE_BITS && shift != LIMB_SHIFT) Words.refuse("shift");
            if (terms - 1 >= MAX_TERMS) Words.refuse("terms");
            if (biasAxis > tensor.get(RANK) || uint16(word >> 192) != 0) Words.refuse("bias axis");
            tensor.set(SHIFT, shift);
            tensor.set(BIAS_AXIS, biasAxis);
            if (shift == LIMB_SHIFT) store(COLUMNS, FEW_COLUMNS + 1);
            store(LAYERS, load(LAYERS) + 1);
            uint256 term = Memory.allocate(TERM_BYTES * terms);
            uint256 last = term + TERM_BYTES * terms;
            tensor.set(FIRST_TERM, term);
            tensor.set(TERMS_END, last);
            for (; term < last; term += TERM_BYTES) {
                Terms.read(reader, id, tensor, Term.wrap(term));
            }
        }
    }
}
