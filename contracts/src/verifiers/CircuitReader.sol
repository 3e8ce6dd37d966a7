// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CodeStorage} from "../libraries/CodeStorage.sol";
import {Descriptor} from "../libraries/proof/Descriptor.sol";
import {Layout} from "../libraries/proof/Layout.sol";
import {CHUNK_BITS, Memory, store} from "../libraries/proof/Memory.sol";
import {Reader, Words} from "../libraries/proof/Words.sol";

/// @title CircuitReader: the half of ProofVerifier that reads descriptors
/// @notice A contract of its own because both do not fit into one (EIP-170). It has no state; ProofVerifier creates
///         it and trusts its code.
contract CircuitReader {
    /// @notice Reads the descriptor stored at `circuit`, lays the network out for chunks of 2^chunkBits entries, and
    ///         returns the memory it did that in (Memory.sol). Reverts unless the descriptor is well formed.
    function read(address circuit, uint256 chunkBits) external view {
        // Before the fixed positions: it is not part of the image.
        Reader memory reader;
        Memory.begin();
        store(CHUNK_BITS, chunkBits);
        // The tensors' records come first, and the descriptor's first word says how many they are.
        uint256 header;
        assembly ("memory-safe") {
            extcodecopy(circuit, 0x00, 1, 0x20)
            header := mload(0x00)
        }
        Memory.allocate(Descriptor.recordBytes(header));
        Words.open(reader, CodeStorage.read(circuit));
        Descriptor.parse(reader);
        Layout.make();
        Memory.returnImage();
    }
}
