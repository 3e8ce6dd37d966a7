// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {CodeStorage} from "../CodeStorage.sol";
import {ENTRIES, ENTRY_BYTES, Memory, PARAMETER_POINTS, load, store} from "./Memory.sol";

/// @title The model's commitments as entries of the multiplication
/// @notice They are stored 96 bytes a point, 255 points a contract. Whether they are points of the group is the
///         multiplication's to check, whatever their scalars.
library Parameters {
    error ParameterCount(uint256 expectedPoints, uint256 gotPoints);

    uint256 private constant POINT_BYTES = 96;

    /// @notice Makes room for the entries: the last part of the image.
    function open() internal pure {
        unchecked {
            store(ENTRIES, Memory.allocate(ENTRY_BYTES * load(PARAMETER_POINTS)));
        }
    }

    /// @notice Copies the points that these contracts hold to their entries.
    function read(address[] memory parts) internal view {
        unchecked {
            uint256 expected = load(PARAMETER_POINTS);
            uint256 place = load(ENTRIES);
            uint256 count;
            for (uint256 i; i < parts.length; ++i) {
                uint256 size = parts[i].code.length - 1;
                count += size / POINT_BYTES;
                if (size % POINT_BYTES != 0 || count > expected) revert ParameterCount(expected, count);
                _readPart(parts[i], place);
                place += ENTRY_BYTES * (size / POINT_BYTES);
            }
            if (count != expected) revert ParameterCount(expected, count);
        }
    }

    /// @dev Every point's two coordinates to their 64 bytes.
    function _readPart(address part, uint256 to) private view {
        uint256 free = Memory.free();
        bytes memory points = CodeStorage.read(part);
        assembly ("memory-safe") {
            let place := add(points, 0x20)
            for { let last := add(place, mload(points)) } lt(place, last) { place := add(place, POINT_BYTES) } {
                mcopy(add(to, 0x10), place, 48)
                mcopy(add(to, 0x50), add(place, 48), 48)
                to := add(to, ENTRY_BYTES)
            }
        }
        Memory.reset(free);
    }
}
