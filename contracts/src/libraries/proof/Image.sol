// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Run} from "./Run.sol";

/// @title A region of memory that is handed from one contract to another as it is
/// @notice Structs point to each other by position, so the reader lays them out from BASE on and the verifier copies
///         them to the same place. Only for a callee whose code is known: nothing is checked.
library Image {
    /// @notice Memory below BASE was used up before the image began.
    error NoRoom(uint256 freeMemory);

    uint256 private constant BASE = 0x1000;

    /// @notice What is allocated from here on is part of the image.
    function begin() internal pure {
        _requireRoom();
        assembly ("memory-safe") {
            mstore(0x40, add(BASE, 0x40))
        }
    }

    /// @notice Ends the call and returns the image.
    function finish(Run memory run) internal pure {
        assembly ("memory-safe") {
            mstore(BASE, 1)
            mstore(add(BASE, 0x20), run)
            return(BASE, sub(mload(0x40), BASE))
        }
    }

    /// @notice The image that `reader` returns for this calldata: an array of one. Reverts as the reader does.
    /// @dev An array, because a struct that is returned is first allocated with everything in it.
    function load(address reader, bytes memory data) internal view returns (Run[] memory runs) {
        _requireRoom();
        assembly ("memory-safe") {
            let isSuccess := staticcall(gas(), reader, add(data, 0x20), mload(data), 0, 0)
            let size := returndatasize()
            returndatacopy(BASE, 0, size)
            if iszero(isSuccess) { revert(BASE, size) }
            mstore(0x40, add(BASE, size))
            runs := BASE
        }
    }

    function _requireRoom() private pure {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        if (free > BASE) revert NoRoom(free);
    }
}
