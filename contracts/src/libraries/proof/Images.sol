// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {CodeStorage} from "../CodeStorage.sol";
import {IMAGE, Memory} from "./Memory.sol";

/// @title Images of models, kept as contract code in pieces
/// @notice Where a piece is follows from its creator, the model's id and the piece's number, so nothing needs to be
///         looked up: a storage slot would cost 2,100 gas a proof. The first piece is written last: where it is, all
///         of them are.
library Images {
    /// @dev Creation code of a contract that creates what it is called with (known as CREATE3): the address of what
    ///      that creates first depends on the salt alone. Runtime: CALLDATACOPY, CREATE.
    uint256 private constant CREATOR = 0x67363d3d37363d34f03d5260086018f3;
    uint256 private constant CREATOR_BYTES = 16;
    bytes32 private constant CREATOR_HASH = 0x21c35dbe1b344a2488cf3321d6ce542f8e9f305544ff09e4993a62319a497c1f;

    /// @notice Too little gas for it: 200 a byte.
    error PieceNotWritten(uint256 piece);

    /// @notice Copies the image to its place; returns whether there is one.
    function load(address creator, bytes32 modelId) internal view returns (bool) {
        unchecked {
            uint256 place = IMAGE;
            for (uint256 piece; piece == 0 || place < Memory.imageEnd(); ++piece) {
                address pointer = locate(creator, modelId, piece);
                uint256 size = pointer.code.length;
                if (size == 0) return false;
                assembly ("memory-safe") {
                    extcodecopy(pointer, place, 1, sub(size, 1))
                }
                place += size - 1;
            }
            Memory.reset(place);
            return true;
        }
    }

    /// @notice Writes pieces of the image in memory that are not there yet, `most` of them, the last ones first.
    function write(bytes32 modelId, uint256 most) internal {
        unchecked {
            uint256 size = Memory.imageEnd() - IMAGE;
            uint256 piece = (size + CodeStorage.MAX_BYTES - 1) / CodeStorage.MAX_BYTES;
            while (piece-- != 0 && most != 0) {
                if (locate(address(this), modelId, piece).code.length != 0) continue;
                _writePiece(modelId, piece, size - CodeStorage.MAX_BYTES * piece);
                --most;
            }
        }
    }

    /// @dev `left` bytes of the image are left for this piece and those behind it.
    function _writePiece(bytes32 modelId, uint256 piece, uint256 left) private {
        unchecked {
            uint256 start = IMAGE + CodeStorage.MAX_BYTES * piece;
            bytes memory data = new bytes(left < CodeStorage.MAX_BYTES ? left : CodeStorage.MAX_BYTES);
            bytes32 ofPiece = _salt(modelId, piece);
            assembly ("memory-safe") {
                mcopy(add(data, 0x20), start, mload(data))
            }
            bytes memory creation = CodeStorage.makeCreationCode(data);
            assembly ("memory-safe") {
                mstore(0x00, CREATOR)
                let proxy := create2(0, sub(0x20, CREATOR_BYTES), CREATOR_BYTES, ofPiece)
                pop(call(gas(), proxy, 0, add(creation, 0x20), mload(creation), 0, 0))
            }
            if (locate(address(this), modelId, piece).code.length != data.length + 1) revert PieceNotWritten(piece);
        }
    }

    /// @notice Where a piece is, or would be.
    function locate(address creator, bytes32 modelId, uint256 piece) internal pure returns (address place) {
        bytes32 ofPiece = _salt(modelId, piece);
        assembly ("memory-safe") {
            // keccak256(0xff ‖ creator ‖ salt ‖ hash), then keccak256(rlp([address, 1])). Not in free memory, which is
            // where an image is while it is read.
            let free := mload(0x40)
            mstore(0x00, or(shl(160, 0xff), creator))
            mstore(0x20, ofPiece)
            mstore(0x40, CREATOR_HASH)
            let proxy := shr(96, shl(96, keccak256(11, 85)))
            mstore(0x40, free)
            mstore(0x00, or(shl(168, 0xd694), or(shl(8, proxy), 0x01)))
            place := shr(96, shl(96, keccak256(9, 23)))
        }
    }

    function _salt(bytes32 modelId, uint256 piece) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            mstore(0x00, modelId)
            mstore(0x20, piece)
            result := keccak256(0x00, 0x40)
        }
    }
}
