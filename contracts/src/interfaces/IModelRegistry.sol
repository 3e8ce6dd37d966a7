// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Models by their digest, immutable once registered
interface IModelRegistry {
    /// @notice What is known of a model. `circuitPointer` holds the circuit as contract code behind one STOP byte, or
    ///         is zero.
    struct Model {
        address owner;
        uint8 kind;
        bool isDeprecated;
        address circuitPointer;
        bytes32 manifestDigest;
        bytes32 circuitDigest;
    }

    event ModelRegistered(
        bytes32 indexed modelId,
        uint8 kind,
        bytes32 manifestDigest,
        bytes32 circuitDigest,
        address indexed owner,
        string dataUri
    );
    event ModelDeprecated(bytes32 indexed modelId);

    error UnknownKind(uint8 kind);
    error CircuitMissing();
    error CircuitUnexpected();
    error ManifestMissing();
    error AlreadyRegistered(bytes32 modelId);
    error AlreadyDeprecated(bytes32 modelId);
    error UnknownModel(bytes32 modelId);
    error NotModelOwner(address owner, address caller);

    /// @notice Registers a model under the id its contents give.
    function register(uint8 kind, bytes32 manifestDigest, bytes calldata circuit, string calldata dataUri)
        external
        returns (bytes32 modelId);

    /// @notice No new requests for this model; deliveries of existing ones go on. For ever.
    function deprecate(bytes32 modelId) external;

    /// @notice The registered model; reverts when there is none.
    function modelOf(bytes32 modelId) external view returns (Model memory);

    /// @notice Whether the model is registered and not deprecated.
    function isActive(bytes32 modelId) external view returns (bool);

    /// @notice The circuit bytes, empty for opaque models; reverts when there is no such model.
    function circuitOf(bytes32 modelId) external view returns (bytes memory);
}
